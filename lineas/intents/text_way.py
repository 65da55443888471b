"""The way of a steering of texts, by how likely the model finds texts at a strength."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import expm1, sqrt
from statistics import fmean, stdev

from lineas.intents.calibration import Way

MAY_RISE = 0.1
"""A rise of perplexity by this share is as bad as what is wanted is good."""
SURE = 2.0
"""Standard errors by which target texts must become likelier than source texts for these to tell anything."""

Losses = Sequence[tuple[float, int]]
"""Of each text: the summed negative log-likelihood of its tokens, in nats, and how many they are."""
Found = tuple[Losses, Losses, Losses]
"""Of texts like those that a steering starts from, of such as it aims at, and of others."""


class TextWay:
    """How far a steering has come at a strength, as a calibration asks: strength -> `Way`.

    along: how much likelier than the source texts the target texts have become, in nats, as a share of what
    strength 1 does, which stays where the fit put it: a text after others of its kind is likelier for its
    words too, so that prompting is no measure. off: the rest of that way, and the mean of what two
    perplexities rise by, of the target texts and of others, in units of `MAY_RISE`; squares of both, 1
    without a steering.

    at: strength -> what the steered model finds of held-out texts.
    """

    name, leads = "likelihood", False
    doubt = (
        "On texts that it was not fitted to, the steering hardly does what it is for, so that no strengths "
        "of use are told. Give more texts or steps, or read what it writes at several strengths."
    )

    def __init__(self, at: Callable[[float], Found]) -> None:
        self.at, self.known = at, {0.0: Way(0.0, 1.0)}
        self.start = at(0.0)
        gains = self._gains(at(1.0))
        self.whole = fmean(gains[0]) - fmean(gains[1])
        error = sqrt(sum(stdev(each) ** 2 / len(each) for each in gains))
        self.told_apart = self.whole > SURE * error

    def __call__(self, strength: float) -> Way:
        if strength not in self.known:
            now = self.at(strength)
            target, source = (fmean(each) for each in self._gains(now))
            along = (target - source) / self.whole
            pairs = zip(self.start[1:], now[1:], strict=True)
            rises = [max(0.0, _rise(was, one)) for was, one in pairs if was]
            self.known[strength] = Way(along, max(0.0, 1 - along) ** 2 + (fmean(rises) / MAY_RISE) ** 2)
        return self.known[strength]

    def _gains(self, now: Found) -> tuple[list[float], list[float]]:
        """Nats by which each target and each source text has become likelier."""
        target, source = (
            [before - after for (before, _), (after, _) in zip(self.start[kind], now[kind], strict=True)]
            for kind in (1, 0)
        )
        return target, source


def _rise(before: Losses, after: Losses) -> float:
    """The share by which the perplexity of texts has risen."""
    more = sum(loss for loss, _ in after) - sum(loss for loss, _ in before)
    return expm1(more / max(1, sum(count for _, count in before)))
