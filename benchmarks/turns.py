"""Timing side by side: what is compared runs in turns, what else a machine does falls on all alike."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch


def now() -> float:
    """Seconds: of the process on a CPU, where others share the cores; of the wall on a GPU."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
        return time.perf_counter()
    return time.process_time()


@dataclass(frozen=True)
class Timing:
    """Seconds of every round of one case."""

    seconds: list[float]

    def over(self, bare: Timing) -> dict[str, float]:
        """The smallest time, its ratio to that of the bare case, and the median of the rounds' ratios."""
        rounds = [mine / theirs for mine, theirs in zip(self.seconds, bare.seconds, strict=True)]
        return {
            "seconds": round(min(self.seconds), 4),
            "ratio": round(min(self.seconds) / min(bare.seconds), 3),
            "median ratio": round(statistics.median(rounds), 3),
        }


def in_turns(cases: Mapping[str, Callable[[], float | None]], rounds: int) -> dict[str, Timing]:
    """Every case once to warm up, then all of them in turn, `rounds` times.

    A case that gives a number has timed itself, without what comes before and after.
    """
    seconds: dict[str, list[float]] = {name: [] for name in cases}
    for number in range(rounds + 1):
        for name, action in cases.items():
            start = now()
            own = action()
            spent = now() - start if own is None else own
            if number:
                seconds[name].append(spent)
    return {name: Timing(each) for name, each in seconds.items()}
