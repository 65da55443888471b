"""Language: any causal language model of transformers as a problem to fit a steering to."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lineas.adapters.language_sites import language_sites
from lineas.adapters.language_text import CausalTexts
from lineas.errors import MismatchError, PromptError
from lineas.problem import Group
from lineas.prompts.files import hash_prompts
from lineas.steering import Site


@dataclass(frozen=True)
class Tokens:
    """One text: its token ids, and per token whether it is the text's own (True) or a special one."""

    ids: list[int]
    own: list[bool]


class LanguageProblem(CausalTexts):
    """A causal language model, and texts to steer it from and to.

    model, tokenizer: of transformers; any dtype and device. source, target: two or more texts each, unpaired.
    preserve: texts whose activations stay what they are; they should not be those that you measure on.
    sites: a preset ("post_attention", "norms", "mlp", "attention") or patterns of module names.
    max_length: tokens per text, at least 1; longer texts are cut, with a warning.
    seed: for the same signature as other problems; nothing here is random.

    Rows are means over a text's own tokens: neither padding nor the special tokens that the tokenizer adds
    count. Raises `PromptError` for texts that cannot be used, `SiteError` for sites that do not exist and
    `MismatchError` for other models.
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
        self.model, self.tokenizer, self.seed = model, tokenizer, seed
        self._tokens = {
            group: _tokenised(tokenizer, group, each, max_length) for group, each in texts.items()
        }
        # Without the head: logits over the vocabulary can cost as much as all layers of a small model.
        self._layers: Any = getattr(model, "base_model", model)
        self._takes_positions = "position_ids" in inspect.signature(self._layers.forward).parameters
        components = {"": model}
        super().__init__(
            components,
            language_sites(components, sites or self.default_sites),
            {group: len(each) for group, each in texts.items()},
            base_model=_name(config),
            prompts_hash=hash_prompts(*texts.values()),
        )

    def run(self, group: Group, indices: Sequence[int]) -> None:
        """Forward these texts, padded to the longest of them, without key-value cache and logits."""
        texts = [self._tokens[group][index] for index in indices]
        with torch.inference_mode(False):
            inputs = self._inputs([text.ids for text in texts])
        self._layers(**inputs, use_cache=False)

    def _inputs(self, ids: Sequence[Sequence[int]]) -> dict[str, Tensor]:
        """What the model takes for these texts, padded on the right to the longest of them."""
        # Padding is hidden by the mask, so that any token serves: the tokenizer need not have one for it.
        tokens = _padded(ids, 0)
        inputs = {"input_ids": tokens, "attention_mask": _padded([[1] * len(each) for each in ids], 0)}
        if self._takes_positions:
            inputs["position_ids"] = torch.arange(tokens.shape[1]).repeat(len(tokens), 1)
        device = self._layers.get_input_embeddings().weight.device
        return {name: tensor.to(device) for name, tensor in inputs.items()}

    def lengths(self, group: Group) -> list[int]:
        """Tokens of each text."""
        return [len(text.ids) for text in self._tokens[group]]

    def mask(self, site: Site, group: Group, indices: Sequence[int]) -> Tensor:
        """[b, s] True at the texts' own tokens."""
        return _padded([self._tokens[group][index].own for index in indices], False)


def _tokenised(tokenizer: Any, group: Group, texts: Sequence[str], max_length: int) -> list[Tokens]:
    if isinstance(texts, str) or not all(isinstance(text, str) for text in texts):
        raise PromptError(f"The {group} texts are {str(texts)[:80]!r}, expected a list of strings.")
    if max_length < 1:
        raise PromptError(f"max_length is {max_length}, expected at least 1 token.")
    tokens = [_tokens(tokenizer, group, number, text) for number, text in enumerate(texts)]
    long = sum(len(each.ids) > max_length for each in tokens)
    if long:
        warnings.warn(
            f"{long} of {len(tokens)} {group} texts have more than {max_length} tokens and are cut. "
            "Raise max_length to use more of them.",
            stacklevel=4,
        )
    return [Tokens(each.ids[:max_length], each.own[:max_length]) for each in tokens]


def _tokens(tokenizer: Any, group: Group, number: int, text: str) -> Tokens:
    encoded = tokenizer(text, return_special_tokens_mask=True, truncation=False, verbose=False)
    own = [not special for special in encoded["special_tokens_mask"]]
    if not any(own):
        raise PromptError(f"{group.capitalize()} text {number} ({text[:40]!r}) has no tokens. Remove it.")
    return Tokens(list(encoded["input_ids"]), own)


def _padded(rows: Sequence[Sequence[Any]], value: Any) -> Tensor:
    """[b, s] padded on the right, where the positions of a text's own tokens do not depend on the others."""
    length = max(len(row) for row in rows)
    return torch.tensor([[*row, *[value] * (length - len(row))] for row in rows])


def _name(config: Any) -> str:
    """What to call the model: its name on the hub, or that of its folder without the way to it."""
    name = str(getattr(config, "_name_or_path", "") or getattr(config, "model_type", ""))
    return Path(name).name if Path(name).is_absolute() else name
