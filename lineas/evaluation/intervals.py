"""Intervals by resampling, where samples come in groups that are not alike."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lineas.errors import MismatchError

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
