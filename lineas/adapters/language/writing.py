"""Continuations: what a language model writes after given openings, in batches and repeatably."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from lineas.adapters.devices import input_device
from lineas.adapters.language.text_tokens import text_tokens
from lineas.apply.hooks import steer
from lineas.errors import ConfigError, PromptError
from lineas.steering.steering import Steering


@dataclass(frozen=True)
class Sampling:
    """How tokens are drawn; the defaults are those of LinEAS (arXiv 2503.10679, section 5).

    tokens: length of a continuation, at least 1. temperature: 1 is the model's own distribution, lower is
    more predictable, 0 always takes the likeliest token. top_p: share of the distribution that is drawn from,
    in (0, 1]. repetition_penalty: divides the scores of tokens that were there already; 1 is none.
    """

    tokens: int = 20
    temperature: float = 1.0
    top_p: float = 0.3
    repetition_penalty: float = 1.2

    def __post_init__(self) -> None:
        if self.tokens < 1 or self.temperature < 0 or not 0 < self.top_p <= 1 or self.repetition_penalty <= 0:
            raise ConfigError(
                f"Cannot sample with {self}: expected tokens ≥ 1, temperature ≥ 0, top_p in (0, 1] and a "
                "positive repetition_penalty."
            )

    def arguments(self) -> dict[str, Any]:
        """What `generate` takes."""
        common = {
            "max_new_tokens": self.tokens,
            "repetition_penalty": self.repetition_penalty,
            "num_beams": 1,
            "use_cache": True,
        }
        if self.temperature == 0:
            return common | {"do_sample": False, "temperature": None, "top_p": None, "top_k": None}
        draw = NucleusDraw(self.top_p, self.temperature)
        # The drawn token has the highest score, so the greedy choice takes it.
        return common | {
            "do_sample": False, "temperature": None, "top_p": None, "top_k": None, "logits_processor": [draw]
        }  # fmt: skip


class NucleusDraw:
    """Draws from the top-p share of a temperature's distribution, as a logits processor for greedy decoding.

    The distribution of stock sampling at a fraction of its cost where the vocabulary is large: nothing is
    drawn for tokens outside, and only the likeliest `candidates` tokens are sorted, all of them where their
    share does not suffice.
    """

    def __init__(self, top_p: float, temperature: float = 1.0, candidates: int = 256) -> None:
        self.top_p, self.temperature, self.candidates = top_p, temperature, candidates

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """Token ids [b, length] and scores [b, vocabulary] -> the same, +inf at each row's drawn token."""
        shares, tokens = self.nucleus(scores)
        drawn = tokens.gather(-1, shares.multinomial(1))
        return scores.scatter(-1, drawn, torch.inf)

    def nucleus(self, scores: Tensor) -> tuple[Tensor, Tensor]:
        """Scores [b, vocabulary] -> shares [b, k] of the tokens [b, k], likeliest first and 0 outside."""
        shares = (scores / self.temperature).softmax(-1)
        count = min(self.candidates, scores.shape[-1])
        best, tokens = shares.topk(count, dim=-1)
        if count < scores.shape[-1] and (self.top_p >= 1 or (best.sum(-1) < self.top_p).any()):
            best, tokens = shares.sort(dim=-1, descending=True)
        if self.top_p < 1:
            best = best.masked_fill(best.cumsum(-1) - best >= self.top_p, 0.0)
        return best, tokens


@torch.no_grad()
def continuations(
    model: Any,
    tokenizer: Any,
    openings: Sequence[str],
    *,
    samples: int = 1,
    seed: int = 0,
    sampling: Sampling | None = None,
    batch: int = 64,
    chat: bool = False,
    progress: Callable[[int], object] | None = None,
) -> list[list[str]]:
    """One list of `samples` continuations per opening, without the opening, as plain text.

    model: as it is, steered or not. seed: the same seed, batch and model give the same texts; the global
    random state is left alone. batch: sequences that run at once, padded on the left; openings of like
    lengths share one. chat: openings are a user's messages, which the model answers. progress: called with
    the number of texts made since the last call.

    Raises `PromptError` without openings and `ConfigError` for impossible numbers.
    """
    if not openings or isinstance(openings, str):
        raise PromptError("Got no openings, expected a list of texts to continue.")
    if samples < 1 or batch < 1:
        raise ConfigError(f"samples is {samples} and batch {batch}, expected at least 1 of each.")
    sampling = sampling or Sampling()
    ids = [text_tokens(tokenizer, text, chat, answer=True).ids for text in openings]
    queue = sorted((number for number in range(len(ids)) for _ in range(samples)), key=lambda n: len(ids[n]))
    made: list[list[str]] = [[] for _ in openings]
    devices = [model.device] if model.device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        for start in range(0, len(queue), batch):
            part = queue[start : start + batch]
            new = _continue(model, tokenizer, [ids[number] for number in part], sampling)
            for number, text in zip(part, new, strict=True):
                made[number].append(text)
            if progress is not None:
                progress(len(part))
    return made


def _continue(model: Any, tokenizer: Any, rows: list[list[int]], sampling: Sampling) -> list[str]:
    length = max(map(len, rows))
    padding = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id or 0
    device = input_device(model)
    ids = torch.tensor([[padding] * (length - len(row)) + row for row in rows], device=device)
    mask = torch.tensor([[0] * (length - len(row)) + [1] * len(row) for row in rows], device=device)
    out = model.generate(
        input_ids=ids, attention_mask=mask, pad_token_id=padding, **sampling.arguments()
    ).tolist()
    return [_new_text(tokenizer, row, whole[length:]) for row, whole in zip(rows, out, strict=True)]


def _new_text(tokenizer: Any, before: list[int], after: list[int]) -> str:
    # Decoded with the opening: on their own, many tokenizers drop the space before the new tokens.
    opening = tokenizer.decode(before, skip_special_tokens=True)
    return tokenizer.decode(before + after, skip_special_tokens=True)[len(opening) :]


class Writer:
    """Continues a prompt: a callable (prompt, strength, seed) -> the new text, sampled alike for one seed.

    chat: the prompt is a user's message, which the model answers.
    """

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        steerings: Sequence[Steering],
        weights: Sequence[float],
        tokens: int,
        where: str = "all",
        chat: bool = False,
    ) -> None:
        self.model, self.tokenizer, self.tokens, self.where = model, tokenizer, tokens, where
        self.chat = chat
        self.steerings, self.weights = list(steerings), list(weights)

    @torch.no_grad()
    def __call__(self, prompt: str, strength: float = 1.0, seed: int = 0) -> str:
        ids = text_tokens(self.tokenizer, prompt, self.chat, answer=True).ids
        given = torch.tensor([ids], device=input_device(self.model))
        with (
            steer(self.model, self.steerings, [strength * w for w in self.weights], where=self.where),
            torch.random.fork_rng(),
        ):
            torch.manual_seed(seed)
            out = self.model.generate(
                input_ids=given,
                attention_mask=torch.ones_like(given),
                max_new_tokens=self.tokens,
                do_sample=True,
                top_p=0.9,
                pad_token_id=self.tokenizer.pad_token_id,
            )
        # Decoded with the prompt: on their own, many tokenizers drop the space before the new tokens.
        before, whole = (self._decoded(each) for each in (given[0], out[0]))
        return whole[len(before) :]

    def _decoded(self, ids: Any) -> str:
        return self.tokenizer.decode(ids, skip_special_tokens=True)
