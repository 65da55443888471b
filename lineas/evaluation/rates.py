"""Rates with intervals: how often the concept is there, gets erased, and how often the rest is retained.

A judgement is one bool per sample: whether a detector finds the concept, or whether the rest of a prompt is
there.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import sqrt
from statistics import NormalDist

import numpy as np

from lineas.errors import MismatchError


def wilson_interval(hits: int, total: int, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson score interval of a rate, both ends in 0 … 1; (0, 1) without samples.

    Unlike the normal approximation it is sound for few samples and for rates of 0 and 1. Source: Wilson 1927,
    without continuity correction.
    """
    if total == 0:
        return 0.0, 1.0
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    rate, shrink = hits / total, 1 + z**2 / total
    centre = (rate + z**2 / (2 * total)) / shrink
    half = z * sqrt(rate * (1 - rate) / total + z**2 / (4 * total**2)) / shrink
    # At the ends the exact value is 0 or 1; rounding would leave 1e-17.
    return (0.0 if hits == 0 else centre - half), (1.0 if hits == total else centre + half)


@dataclass(frozen=True)
class Rate:
    """A counted share."""

    hits: int
    """Samples that count, 0 … total."""
    total: int
    """Samples judged."""

    @property
    def value(self) -> float:
        """The share in 0 … 1; NaN without samples."""
        return self.hits / self.total if self.total else float("nan")

    @property
    def interval(self) -> tuple[float, float]:
        """95 % Wilson interval."""
        return wilson_interval(self.hits, self.total)

    def __str__(self) -> str:
        low, high = self.interval
        return (
            f"{self.value:.1%} ({low:.1%} to {high:.1%}, {self.hits}/{self.total})"
            if self.total
            else "no samples"
        )


def presence_rate(present: Iterable[bool]) -> Rate:
    """Share of [n] samples in which the concept is found."""
    found = [bool(one) for one in present]
    return Rate(sum(found), len(found))


def erasure_rate(before: Iterable[bool], after: Iterable[bool]) -> Rate:
    """Of the samples that show the concept unsteered, the share that no longer does when steered.

    `before`, `after`: [n] judgements of the same prompts and seeds. Samples without the concept from the
    start are left out, since there is nothing to erase; a sample in which it newly appears shows in
    `presence_rate` only.

    Raises `MismatchError`: unlike numbers of samples.
    """
    kept = retain_rate(before, after)
    return Rate(kept.total - kept.hits, kept.total)


def retain_rate(before: Iterable[bool], after: Iterable[bool]) -> Rate:
    """Of the samples judged right unsteered, the share still right when steered.

    `before`, `after`: [n] judgements of something that should survive: another object of the same prompt, or
    the subject of an unrelated prompt.

    Raises `MismatchError`: unlike numbers of samples.
    """
    before, after = [bool(one) for one in before], [bool(one) for one in after]
    if len(before) != len(after):
        raise MismatchError(
            f"Samples are paired by prompt and seed, got {len(before)} before and {len(after)} after. "
            "Judge the same samples with and without the steering."
        )
    return Rate(sum(b and a for b, a in zip(before, after, strict=True)), sum(before))


def joint_rate(first: Iterable[bool], second: Iterable[bool]) -> Rate:
    """Share of [n] samples in which both are found, or both hold: sample i of one and of the other.

    Raises `MismatchError`: unlike numbers of samples.
    """
    first, second = [bool(one) for one in first], [bool(one) for one in second]
    if len(first) != len(second):
        raise MismatchError(
            f"Both are judged on the same samples, got {len(first)} and {len(second)} judgements. "
            "Judge every sample for both."
        )
    return presence_rate(a and b for a, b in zip(first, second, strict=True))


def monotonicity(values: Sequence[float]) -> float:
    """Net change over total movement of [k] values in the order of strength, in −1 … 1.

    1: never falls; −1: never rises (a removal that works with every step); 0: ends where it began, or never
        moves.
    """
    moves = [after - before for before, after in pairwise(values)]
    total = sum(abs(move) for move in moves)
    # Clamped, as rounding of the sums may reach beyond ±1 by one unit in the last place.
    return max(-1.0, min(1.0, (values[-1] - values[0]) / total)) if total else 0.0


def unseen_share(total: int, confidence: float = 0.95) -> float:
    """The largest share of cases that may well exist where none was among [total] samples; 1 without samples.

    With a share p none is seen with chance (1 − p)^total, which is 1 − confidence at this share: 0 of 145
    leaves room for 2.0 %.
    """
    return 1 - (1 - confidence) ** (1 / total) if total else 1.0


def nested_interval(
    sums: Sequence[Sequence[float]],
    weights: Sequence[Sequence[float]],
    confidence: float = 0.95,
    seed: int = 0,
) -> tuple[float, float]:
    """Percentile bootstrap interval of Σ sums / Σ weights over fits, and over the groups within each fit.

    sums, weights: [fits][groups]; fits are drawn anew, and the same groups (openings) for all of them. Where
    all draws are 0 or 1, the far end is what `unseen_share` of the groups leaves room for.
    Raises `MismatchError` for unlike lengths or without a group.
    """
    totals, counts = np.asarray(sums, float), np.asarray(weights, float)
    if totals.shape != counts.shape or totals.ndim != 2 or not totals.size:
        raise MismatchError(
            f"Got sums of shape {totals.shape} and weights of shape {counts.shape}, expected [fits][groups]."
        )
    if (rate := totals.sum() / counts.sum()) in (0.0, 1.0):
        room = unseen_share(totals.shape[1], confidence)
        return (0.0, room) if rate == 0 else (1 - room, 1.0)
    random = np.random.default_rng(seed)
    fits = random.integers(0, len(totals), (RESAMPLES, len(totals), 1))
    groups = random.integers(0, totals.shape[1], (RESAMPLES, 1, totals.shape[1]))
    ratios = totals[fits, groups].sum((1, 2)) / counts[fits, groups].sum((1, 2))
    tail = (1 - confidence) / 2
    low, high = np.quantile(ratios, [tail, 1 - tail])
    return float(low), float(high)


RESAMPLES = 2000


def bootstrap_interval(
    sums: Sequence[float], weights: Sequence[float], confidence: float = 0.95, seed: int = 0
) -> tuple[float, float]:
    """Percentile bootstrap interval of Σ sums / Σ weights, where groups (texts, openings) are drawn anew.

    sums, weights: [n] per group, such as hits and samples, or losses and tokens. Source: Efron 1979.
    Raises `MismatchError` for unlike lengths or without a group.
    """
    if len(sums) != len(weights) or not sums:
        raise MismatchError(f"Got {len(sums)} sums and {len(weights)} weights, expected as many, at least 1.")
    totals, counts = np.asarray(sums, float), np.asarray(weights, float)
    drawn = np.random.default_rng(seed).integers(0, len(totals), (RESAMPLES, len(totals)))
    ratios = totals[drawn].sum(1) / counts[drawn].sum(1)
    tail = (1 - confidence) / 2
    low, high = np.quantile(ratios, [tail, 1 - tail])
    return float(low), float(high)
