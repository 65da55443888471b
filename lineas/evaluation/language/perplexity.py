"""Perplexity: how well a language model foretells a text."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from lineas.adapters.language.losses import losses_after, summed_losses
from lineas.errors import PromptError
from lineas.evaluation.rates import bootstrap_interval


@dataclass(frozen=True)
class Perplexity:
    """exp of the mean negative log-likelihood per token, over all tokens of all texts.

    losses, tokens: per text, the summed negative log-likelihood and how many tokens it is the sum of.
    """

    losses: tuple[float, ...]
    tokens: tuple[int, ...]

    @property
    def value(self) -> float:
        return math.exp(sum(self.losses) / sum(self.tokens))

    @property
    def mean_of_texts(self) -> float:
        """The mean of the texts' own perplexities, short ones weighed as long ones.

        What the tables of LinEAS (arXiv 2503.10679) give, over sentences; at least `value` where texts are
        alike in length, and far above it where some are very unlikely.
        """
        each = [math.exp(loss / count) for loss, count in zip(self.losses, self.tokens, strict=True)]
        return sum(each) / len(each)

    @property
    def interval(self) -> tuple[float, float]:
        """95 % bootstrap interval over texts."""
        low, high = bootstrap_interval(self.losses, self.tokens)
        return math.exp(low), math.exp(high)

    def rise_over(self, base: Perplexity) -> tuple[float, float, float]:
        """The share by which this is above `base` on the same texts (0.02 is 2 %), and its 95 % interval.

        The interval is of the paired difference, so it is far narrower than those of the two values.
        """
        change = [a - b for a, b in zip(self.losses, base.losses, strict=True)]
        low, high = bootstrap_interval(change, self.tokens)
        return self.value / base.value - 1, math.expm1(low), math.expm1(high)

    def __str__(self) -> str:
        low, high = self.interval
        return f"{self.value:.2f} ({low:.2f} to {high:.2f}, {sum(self.tokens)} tokens)"


@torch.no_grad()
def perplexity(
    model: Any, tokenizer: Any, texts: Sequence[str], *, max_length: int = 512, batch: int = 4
) -> Perplexity:
    """Perplexity over texts, each by itself; what is longer than `max_length` tokens is cut into pieces.

    The first token of a piece is given, not foretold. Raises `PromptError` when no text has two tokens.
    """
    pieces = [
        (number, ids[start : start + max_length])
        for number, ids in enumerate(tokenizer(text, verbose=False)["input_ids"] for text in texts)
        for start in range(0, len(ids), max_length)
        if len(ids[start : start + max_length]) > 1
    ]
    if not pieces:
        raise PromptError("Perplexity needs a text of at least two tokens. Give a file with running text.")
    pieces.sort(key=lambda piece: len(piece[1]))
    losses, tokens = [0.0] * len(texts), [0] * len(texts)
    found = summed_losses(model, [ids for _, ids in pieces], batch=batch)
    for (number, ids), loss in zip(pieces, found, strict=True):
        losses[number] += loss
        tokens[number] += len(ids) - 1
    kept = [number for number, count in enumerate(tokens) if count]
    return Perplexity(tuple(losses[n] for n in kept), tuple(tokens[n] for n in kept))


@torch.no_grad()
def fluency(
    model: Any,
    tokenizer: Any,
    openings: Sequence[str],
    made: Sequence[Sequence[str]],
    *,
    chat: bool = False,
    batch: int = 16,
) -> Perplexity:
    """Perplexity of continuations after their openings: how well `model` itself would have foretold them.

    model: the untouched one, so that what a steering writes is weighed by what the model knows. made: the
    continuations of each opening, as `continuations` gives them; losses and tokens are summed per opening,
    and an opening whose continuations are all empty is left out. A low figure may also be dull repetition.
    Raises `PromptError` when there is nothing to weigh.
    """
    before = [opening for opening, texts in zip(openings, made, strict=True) for _ in texts]
    owners = [number for number, texts in enumerate(made) for _ in texts]
    each = losses_after(
        model, tokenizer, before, [text for texts in made for text in texts], chat=chat, batch=batch
    )
    losses, tokens = [0.0] * len(openings), [0] * len(openings)
    for owner, (loss, count) in zip(owners, each, strict=True):
        losses[owner] += loss
        tokens[owner] += count
    if not any(tokens):
        raise PromptError("There are no continuations to weigh: all of them are empty.")
    kept = [number for number, count in enumerate(tokens) if count]
    return Perplexity(tuple(losses[n] for n in kept), tuple(tokens[n] for n in kept))


def paragraphs(text: str) -> list[str]:
    """The paragraphs of a text, which empty lines separate, each on one line."""
    return [" ".join(part.split()) for part in text.split("\n\n") if part.strip()]
