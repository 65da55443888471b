"""Language: any causal language model of transformers as a problem to fit a steering to."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import cross_entropy

from lineas.adapters.devices import input_device
from lineas.adapters.language.sites import language_sites
from lineas.adapters.language.text_tokens import Tokens, text_after, text_tokens
from lineas.errors import ConfigError, MismatchError, PromptError
from lineas.fitting.problem import Group
from lineas.fitting.text_problem import Continuations, TextProblem
from lineas.modules.names import without_adapter
from lineas.prompts.files import hash_prompts
from lineas.steering.site import Site

Contexts = Sequence[Sequence[str]]
"""Of source, target and preserve texts: one for each text, which may be empty, or none at all."""
SHORT = 128
"""Tokens up to which fused attention's gradient is slower than that of plain products; see `frozen`."""


class LanguageProblem(TextProblem):
    """A causal language model, and texts to steer it from and to.

    model, tokenizer: of transformers; any dtype and device. source, target: two or more texts each, unpaired.
    preserve: texts whose activations stay what they are; they should not be those that you measure on.
    sites: a preset ("post_attention", "norms", "mlp", "attention") or patterns of module names.
    max_length: tokens per text, at least 1; longer texts are cut, with a warning.
    chat: texts are a user's messages, in the tokenizer's own chat template.
    contexts: what stands before each text, of source, target and preserve; it is read and not compared, nor
    is the first token of a text whose context is empty.
    seed: for the same signature as other problems; nothing here is random.

    Rows are means over a text's own tokens: neither padding nor special tokens nor a template's words count.
    Raises `PromptError` for texts that cannot be used, `SiteError` for sites that do not exist,
    `MismatchError` for other models and `ConfigError` for a chat without a template.
    """

    default_sites = "post_attention"

    def __init__(
        self,
        model: nn.Module,
        tokenizer: Any,
        source: Sequence[str],
        target: Sequence[str],
        preserve: Sequence[str] | None = None,
        *,
        sites: str | Sequence[str] | None = None,
        seed: int = 0,
        max_length: int = 256,
        chat: bool = False,
        contexts: Contexts = (),
    ) -> None:
        config = getattr(model, "config", None)
        if config is None or getattr(config, "is_encoder_decoder", False):
            raise MismatchError(
                f"{type(model).__name__} is not a decoder-only language model of transformers. "
                "Load one with AutoModelForCausalLM."
            )
        texts: dict[Group, Sequence[str]] = {
            "source": source,
            "target": target,
            "preserve": preserve or [],
        }
        self.model: Any = model
        self.tokenizer, self.seed = tokenizer, seed
        before: dict[Group, Sequence[str]] = dict(zip(texts, contexts, strict=False))
        self._tokens = {
            group: _tokenised(tokenizer, group, each, max_length, chat, before.get(group, ()))
            for group, each in texts.items()
        }
        # Without the head: logits over the vocabulary can cost as much as all layers of a small model.
        inner = without_adapter(model)
        self._layers: Any = getattr(inner, "base_model", inner)
        self._takes_positions = "position_ids" in inspect.signature(self._layers.forward).parameters
        components = {"": model}
        super().__init__(
            components,
            language_sites(components, sites or self.default_sites),
            {group: len(each) for group, each in texts.items()},
            base_model=_name(config),
            prompts_hash=hash_prompts(*texts.values(), *filter(None, contexts)),
        )

    def run(self, group: Group, indices: Sequence[int]) -> None:
        """Forward these texts, padded to the longest of them, without key-value cache and logits."""
        texts = [self._tokens[group][index] for index in indices]
        with torch.inference_mode(False):
            inputs = self._inputs([text.ids for text in texts])
        self._layers(**inputs, use_cache=False)

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """As of any problem; and short texts take plain attention in half precision on a CPU.

        The gradient of torch's fused one takes several times as long there (`benchmarks/language/speed.py`).
        """
        weights = (weight for weight in self.model.parameters() if weight.is_floating_point())
        is_slow = all(weight.itemsize == 2 and weight.device.type == "cpu" for weight in weights)
        is_short = all(len(text.ids) <= SHORT for texts in self._tokens.values() for text in texts)
        with super().frozen(), sdpa_kernel(SDPBackend.MATH) if is_slow and is_short else nullcontext():
            yield

    def _inputs(self, ids: Sequence[Sequence[int]]) -> dict[str, Tensor]:
        """What the model takes for these texts, padded on the right to the longest of them."""
        # Padding is hidden by the mask, so that any token serves: the tokenizer need not have one for it.
        tokens = _padded(ids, 0)
        inputs = {"input_ids": tokens, "attention_mask": _padded([[1] * len(each) for each in ids], 0)}
        if self._takes_positions:
            inputs["position_ids"] = torch.arange(tokens.shape[1]).repeat(len(tokens), 1)
        device = input_device(self.model)
        return {name: tensor.to(device) for name, tensor in inputs.items()}

    def run_hash(self, group: Group) -> str:
        return hash_prompts([repr(text.ids) for text in self._tokens[group]])

    def lengths(self, group: Group) -> list[int]:
        """Tokens of each text."""
        return [len(text.ids) for text in self._tokens[group]]

    def mask(self, site: Site, group: Group, indices: Sequence[int]) -> Tensor:
        """[b, s] True at the texts' own tokens."""
        return _padded([self._tokens[group][index].own for index in indices], False)

    def tokens(self, site: Site, z: Tensor, group: Group, indices: Sequence[int]) -> Tensor:
        """[b, s] True at each text's first token, laid out as z is: what `Map.at_start` asks for."""
        first = torch.zeros(self.mask(site, group, indices).shape, dtype=torch.bool)
        first[:, 0] = True
        return first if z.ndim > 2 else first.flatten()

    def text_loss(self, group: Group, indices: Sequence[int]) -> Tensor:
        """[b] mean negative log-likelihood per token, in nats; 0 for a text of one token."""
        texts = [self._tokens[group][index].ids for index in indices]
        losses, predicted = self._losses(texts, [1] * len(texts))
        return losses.sum(1) / predicted.sum(1).clamp_min(1)

    def log_likelihood(self, continuations: Continuations) -> Tensor:
        """[b] log-likelihood of each continuation after its opening."""
        losses, _ = self._losses(continuations.ids, continuations.starts)
        return -losses.sum(1)

    def token_chances(self, continuations: Continuations) -> tuple[Tensor, Tensor]:
        """[b, s − 1] log-likelihood of every token but the first, and [b, s − 1, d] states before them."""
        with torch.inference_mode(False):
            inputs = self._inputs(continuations.ids)
        out = self.model(**inputs, use_cache=False, output_hidden_states=True)
        wanted = inputs["input_ids"][:, 1:].to(out.logits.device)
        chances = -cross_entropy(out.logits[:, :-1].float().transpose(1, 2), wanted, reduction="none")
        return chances, out.hidden_states[-1][:, :-1]

    def openings(self, group: Group, indices: Sequence[int], tokens: int) -> list[list[int]]:
        """The first tokens of these texts, without special tokens at the end."""
        return [self._opening(self._tokens[group][index], tokens) for index in indices]

    @torch.no_grad()
    def continued(self, openings: Sequence[Sequence[int]], tokens: int, seed: int) -> Continuations:
        """Sampled at temperature 1 without any cut; torch's random state is left as it was."""
        pad = next(
            (i for i in (self.tokenizer.pad_token_id, self.tokenizer.eos_token_id) if i is not None), 0
        )
        length = max(map(len, openings))
        device = input_device(self.model)
        ids = torch.tensor([[*[pad] * (length - len(o)), *o] for o in openings], device=device)
        mask = torch.tensor([[*[0] * (length - len(o)), *[1] * len(o)] for o in openings], device=device)
        plain = {"temperature": 1.0, "top_k": 0, "top_p": 1.0, "repetition_penalty": 1.0, "num_beams": 1}
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            made = self.model.generate(
                input_ids=ids,
                attention_mask=mask,
                max_new_tokens=tokens,
                do_sample=True,
                pad_token_id=pad,
                **plain,
            )
        new = [self._ended(row) for row in made[:, length:].tolist()]
        texts = self.tokenizer.batch_decode(new, skip_special_tokens=True)
        whole = [[*opening, *rest] for opening, rest in zip(openings, new, strict=True)]
        return Continuations(whole, [len(opening) for opening in openings], texts)

    def _losses(self, ids: Sequence[Sequence[int]], starts: Sequence[int]) -> tuple[Tensor, Tensor]:
        """[b, s − 1] loss of every token from its text's start on, 0 elsewhere; and which tokens count."""
        with torch.inference_mode(False):
            inputs = self._inputs(ids)
            lengths = torch.tensor([len(each) for each in ids])[:, None]
            place = torch.arange(1, inputs["input_ids"].shape[1])
            counts = (place >= torch.tensor(starts)[:, None]) & (place < lengths)
        logits = self.model(**inputs, use_cache=False).logits[:, :-1].float()
        wanted, counts = inputs["input_ids"][:, 1:].to(logits.device), counts.to(logits.device)
        losses = cross_entropy(logits.transpose(1, 2), wanted, reduction="none")
        return losses.masked_fill(~counts, 0), counts

    def _opening(self, text: Any, tokens: int) -> list[int]:
        last = max(i for i, own in enumerate(text.own) if own)
        return list(text.ids[: min(tokens, last + 1)])

    def _ended(self, ids: list[int]) -> list[int]:
        """Up to the first end token, with it; what follows is padding."""
        end = getattr(self.model.generation_config, "eos_token_id", None)
        ends = set(end if isinstance(end, list) else [end]) - {None}
        stop = next((place + 1 for place, token in enumerate(ids) if token in ends), len(ids))
        return ids[:stop]


def _tokenised(
    tokenizer: Any, group: Group, texts: Sequence[str], max_length: int, chat: bool, before: Sequence[str]
) -> list[Tokens]:
    if isinstance(texts, str) or not all(isinstance(text, str) for text in texts):
        raise PromptError(f"The {group} texts are {str(texts)[:80]!r}, expected a list of strings.")
    if max_length < 1:
        raise PromptError(f"max_length is {max_length}, expected at least 1 token.")
    if before and texts and chat:
        raise ConfigError("A chat's texts have no contexts before them. Leave one of them out.")
    if before and texts and len(before) != len(texts):
        raise PromptError(
            f"There are {len(before)} contexts for {len(texts)} {group} texts. Give one to each."
        )
    tokens = [
        _tokens(tokenizer, group, number, text, chat, before[number] if before else None)
        for number, text in enumerate(texts)
    ]
    long = sum(len(each.ids) > max_length for each in tokens)
    if long:
        warnings.warn(
            f"{long} of {len(tokens)} {group} texts have more than {max_length} tokens and are cut. "
            "Raise max_length to use more of them.",
            stacklevel=4,
        )
    return [_cut(each, max_length, bool(before)) for each in tokens]


def _cut(tokens: Tokens, most: int, in_context: bool) -> Tokens:
    """The first `most` tokens; in a context the first one, and the last ones, which are the text's own."""
    if len(tokens.ids) <= most:
        return tokens
    head, rest = (1, slice(len(tokens.ids) - most + 1, None)) if in_context else (most, slice(0))
    return Tokens(tokens.ids[:head] + tokens.ids[rest], tokens.own[:head] + tokens.own[rest])


def _tokens(tokenizer: Any, group: Group, number: int, text: str, chat: bool, before: str | None) -> Tokens:
    tokens = text_tokens(tokenizer, text, chat) if before is None else text_after(tokenizer, before, text)
    if not any(tokens.own):
        raise PromptError(f"{group.capitalize()} text {number} ({text[:40]!r}) has no tokens. Remove it.")
    return tokens


def _padded(rows: Sequence[Sequence[Any]], value: Any) -> Tensor:
    """[b, s] padded on the right, where the positions of a text's own tokens do not depend on the others."""
    length = max(len(row) for row in rows)
    return torch.tensor([[*row, *[value] * (length - len(row))] for row in rows])


def _name(config: Any) -> str:
    """What to call the model: its name on the hub, or that of its folder without the way to it."""
    name = str(getattr(config, "_name_or_path", "") or getattr(config, "model_type", ""))
    return Path(name).name if Path(name).is_absolute() else name
