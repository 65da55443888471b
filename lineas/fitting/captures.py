"""Captures: rows of an untouched model that several fits have in common, captured once."""

from __future__ import annotations

from collections.abc import Callable, Hashable

from lineas.fitting.problem import Group, Problem, Rows
from lineas.maths.pooling import MeanPooling, Pooling


class Captures:
    """Rows by what decides them: weights, sites, prompts, how these are run, and the pooling.

    most: groups of prompts that are kept, the newest; each is as large as the rows of a fit.
    """

    def __init__(self, most: int = 8) -> None:
        self.most = most
        self._kept: dict[Hashable, Rows] = {}

    def rows(
        self, problem: Problem, group: Group, pooling: Pooling | None, capture: Callable[[], Rows]
    ) -> Rows:
        """What `capture` gives, or what it gave the last time that the same was asked."""
        key = (
            problem.fingerprint,
            tuple(map(str, problem.sites)),
            problem.run_hash(group),
            repr(pooling or MeanPooling()),
        )
        if key not in self._kept:
            self._kept[key] = capture()
        rows = self._kept[key] = self._kept.pop(key)  # the newest last
        while len(self._kept) > self.most:
            self._kept.pop(next(iter(self._kept)))
        return {site: list(firings) for site, firings in rows.items()}
