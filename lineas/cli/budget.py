"""A time budget for training: the schedule is shortened to fit, so that it still ends where it should."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lineas.training import Progress

MEASURED_STEPS = 3
RESERVE = 0.03
"""Share of the budget that is kept for steps that turn out slower than the first ones."""


class Budget:
    """Seconds for a training, counted from now.

    The first steps are timed; where all steps would take too long, the learning rate falls over as many as
    fit. Should that be misjudged, the training stops when the time is up. None is no limit.
    """

    def __init__(self, seconds: float | None, clock: Callable[[], float] = time.monotonic) -> None:
        self.seconds, self._clock = seconds, clock
        self.started, self._steps = clock(), 0
        self._first = self.started

    @property
    def elapsed(self) -> float:
        """Seconds since the budget was made."""
        return self._clock() - self.started

    def is_over(self, progress: Progress) -> bool:
        """To be asked after each step; True when the training should stop here."""
        if self.seconds is None:
            return False
        self._steps += 1
        if self._steps == 1:  # the first step also pays for what only happens once
            self._first = self._clock()
        if self._steps == MEASURED_STEPS:
            self._plan(progress)
        return self.elapsed >= self.seconds

    def _plan(self, progress: Progress) -> None:
        assert self.seconds is not None
        each = (self._clock() - self._first) / (self._steps - 1)
        left = self.seconds * (1 - RESERVE) - self.elapsed
        steps = progress.step + max(0, int(left / each)) if each > 0 else progress.steps
        trainer = progress.trainer
        if steps < trainer.config.steps:
            trainer.config = replace(trainer.config, steps=steps)
