"""Steps: how a fit counts, times and tells its progress, whatever its method."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch

from lineas.fitting.problem import Problem
from lineas.steering.site import Site
from lineas.steering.steering import Steering

if TYPE_CHECKING:
    from lineas.methods.lineas.trainer import Trainer


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


@dataclass(frozen=True, kw_only=True)
class Advance:
    """What a callback sees after each step of any method; a step may be a site or a pass over the prompts.

    step: 1 is the first. steps: the most there will be. seconds: since the fit began. objective: what is
    being lowered, measured just before the step; NaN for methods that lower nothing step by step.
    snapshot: gives the newest steering.
    """

    step: int
    steps: int
    seconds: float
    objective: float = float("nan")
    snapshot: Callable[[], Steering] | None = field(repr=False, default=None)

    def steering(self) -> Steering:
        """The newest steering, to look at or to save."""
        assert self.snapshot is not None
        return self.snapshot()


@dataclass(frozen=True, kw_only=True)
class Progress(Advance):
    """What a callback sees after each step of LinEAS.

    step: 1 is the first. steps: the most there will be. cost: Σ W2² as the paper writes it, in squared
    activation units. objective: what is being lowered (standardised cost and preserve term), without
    penalty. preserve: its preserve part. site_costs: the paper's cost per site. These four were measured just
    before the step moved the maps. learning_rate, sparsity (0..1): of the step. seconds: spent on steps.
    """

    cost: float
    preserve: float
    learning_rate: float
    sparsity: float
    trainer: Trainer = field(repr=False)
    site_costs: Mapping[Site, float] = field(repr=False, default_factory=dict)

    def steering(self) -> Steering:
        """The newest steering, to look at or to save."""
        return self.trainer.steering()


AnyCallback = Callable[[Advance], Any]
"""Called after each step of any method; returning True stops the fit, and what was learned is kept."""

Callback = Callable[[Progress], Any]
"""Called after each step; returning True stops the training, and what was learned is kept."""
