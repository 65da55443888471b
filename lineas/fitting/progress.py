"""Progress: how a fit of any method counts its steps, keeps to its time and tells about both."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from math import isfinite, nan
from typing import Any

import torch

from lineas.errors import ConfigError
from lineas.fitting.micro_batches import memory_told
from lineas.fitting.problem import Problem
from lineas.fitting.processes import Processes
from lineas.steering.site import Site
from lineas.steering.steering import Steering

clock = time.monotonic
MEASURED_STEPS = 3
RESERVE = 0.03
"""Share of the time that is kept for steps that turn out slower than the first ones."""


@dataclass(frozen=True, kw_only=True)
class Progress:
    """What a callback sees after each step of any method; a step may be a site or a pass over the prompts.

    step: 1 is the first. steps: the most there will be; fewer where a time was given. seconds: since the fit
    began. objective: what is being lowered, measured just before the step; NaN for methods that lower nothing
    step by step. Of LinEAS alone: cost, Σ W2² as the paper writes it, in squared activation units, and
    site_costs, the same per site; preserve, the part of the objective that holds the preserve prompts;
    learning_rate and sparsity (0..1) of the step. state: gives all that resumes the fit, None where the
    method cannot resume.
    """

    step: int
    steps: int
    seconds: float
    objective: float = nan
    cost: float = nan
    preserve: float = 0.0
    learning_rate: float = nan
    sparsity: float = nan
    site_costs: Mapping[Site, float] = field(repr=False, default_factory=dict)
    snapshot: Callable[[], Steering] = field(repr=False)
    state: Callable[[], dict[str, Any]] | None = field(repr=False, default=None)

    def steering(self) -> Steering:
        """The newest steering, to look at or to save."""
        return self.snapshot()

    @property
    def figure(self) -> float:
        """What people watch fall: the cost, or the objective of methods that have no cost."""
        return self.cost if isfinite(self.cost) else self.objective


Callback = Callable[[Progress], Any]
"""Called after each step of any method; returning True stops the fit, and what was learned is kept."""


class Steps:
    """The steps of one fit: counts them, cuts them to a time, tells a callback, says when to stop.

    total: the most steps there will be. snapshot: gives the newest steering. state: see `Progress`.
    seconds: time for the whole fit, counted from now, more than 0; None is no limit. When it is up the fit
    stops; before that, where `cut`, the first steps are timed and `total` falls to as many as fit. Raises
    `ConfigError` for another time.
    """

    def __init__(
        self,
        total: int,
        progress: Callback | None,
        snapshot: Callable[[], Steering],
        seconds: float | None = None,
        state: Callable[[], dict[str, Any]] | None = None,
        cut: bool = True,
    ) -> None:
        if seconds is not None and not 0 < seconds < float("inf"):
            raise ConfigError(
                f"seconds is {seconds!r}, expected a finite number above 0, or None for no limit."
            )
        self.total, self.count, self.stopped = total, 0, False
        self.earlier = 0.0
        """Seconds that a resumed fit took before."""
        self.progress, self._snapshot, self._state = progress, snapshot, state
        self._limit, self._cut = seconds, cut
        self._began, self._times = clock(), list[float]()

    @property
    def seconds(self) -> float:
        """Since the fit began, with what it took before it was resumed."""
        return self.earlier + clock() - self._began

    @property
    def left(self) -> bool:
        """True while there are steps to make and nobody asked to stop."""
        return not self.stopped and self.count < self.total

    def newest(self) -> Steering:
        """The newest steering."""
        return self._snapshot()

    def start_over(self) -> None:
        """Count from 0 again, as after a lack of memory."""
        self.count = 0

    def done(self, **figures: Any) -> Progress:
        """Count one more step and tell about it, figures as `Progress` has them."""
        self.count += 1
        self._keep_to_time()
        told = Progress(
            step=self.count,
            steps=self.total,
            seconds=self.seconds,
            snapshot=self._snapshot,
            state=self._state,
            **figures,
        )
        if self.progress is not None:
            with torch.no_grad():
                self.stopped = self.progress(told) is True or self.stopped
        self._agree()
        return told

    def _agree(self) -> None:
        """Processes that share a fit stop after the same step, where one of them was asked to."""
        told = Processes().told((self.stopped, self.total))
        self.stopped, self.total = any(stopped for stopped, _ in told), min(total for _, total in told)

    def _keep_to_time(self) -> None:
        if self._limit is None:
            return
        self._times.append(clock())
        spent = self._times[-1] - self._began
        if (
            self._cut and len(self._times) == MEASURED_STEPS
        ):  # the first step also pays for what only happens once
            each = (self._times[-1] - self._times[0]) / (MEASURED_STEPS - 1)
            left = self._limit * (1 - RESERVE) - spent
            if each > 0:
                self.total = min(self.total, self.count + max(0, int(left / each)))
        self.stopped = self.stopped or spent >= self._limit


@contextmanager
def fitting_mode(problem: Problem, gradients: bool) -> Iterator[None]:
    """The model frozen and outside inference mode, with or without gradients; as before when it ends."""
    with ExitStack() as stack:
        stack.enter_context(memory_told())
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.enable_grad() if gradients else torch.no_grad())
        stack.enter_context(problem.frozen())
        yield
