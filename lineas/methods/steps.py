"""Steps: how a fit counts, times and tells its progress, whatever its method."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import torch

from lineas.problem import Problem
from lineas.progress import Advance, AnyCallback
from lineas.steering import Steering


class Steps:
    """Counts the steps of one fit, calls its callback after each and keeps whether it asked to stop.

    total: the most steps there will be. snapshot: gives the newest steering.
    """

    def __init__(self, total: int, progress: AnyCallback | None, snapshot: Callable[[], Steering]) -> None:
        self.total, self.count, self.stopped = total, 0, False
        self._progress, self._snapshot, self._began = progress, snapshot, time.perf_counter()

    @property
    def seconds(self) -> float:
        """Since the fit began."""
        return time.perf_counter() - self._began

    def newest(self) -> Steering:
        """The newest steering."""
        return self._snapshot()

    def start_over(self) -> None:
        """Count from 0 again, as after a lack of memory."""
        self.count = 0

    def done(self, objective: float = float("nan")) -> bool:
        """Count one more step and tell about it; True when the fit should stop here."""
        self.count += 1
        if self._progress is not None:
            told = Advance(
                step=self.count,
                steps=self.total,
                seconds=self.seconds,
                objective=objective,
                snapshot=self._snapshot,
            )
            with torch.no_grad():
                self.stopped = self._progress(told) is True
        return self.stopped


@contextmanager
def fitting_mode(problem: Problem, gradients: bool) -> Iterator[None]:
    """The model frozen and outside inference mode, with or without gradients; as before when it ends."""
    with ExitStack() as stack:
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.enable_grad() if gradients else torch.no_grad())
        stack.enter_context(problem.frozen())
        yield
