"""One training run at the command line: progress bar, Ctrl-C, time budget and checkpoints."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from lineas.cli.console import bar

if TYPE_CHECKING:
    from lineas.fitting.options import Options
    from lineas.fitting.problem import Problem
    from lineas.fitting.progress import Advance, Progress
    from lineas.methods.lineas.trainer import Trainer
    from lineas.methods.registry import Method
    from lineas.steering.steering import Steering
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from lineas.cli.console import complain

if TYPE_CHECKING:
    from lineas.fitting.progress import Progress

CHECKPOINT_SECONDS = 60.0


@dataclass
class Outcome:
    """What a run gave.

    costs: before each step. stopped: why it ended early, "" when it did not. checkpointed: while it ran.
    """

    steering: Steering
    costs: list[float] = field(default_factory=list)
    stopped: str = ""
    checkpointed: bool = False


def load_optimisers() -> None:
    """Import what torch imports with the first optimiser, some seconds' worth: loading, not training."""
    import torch

    torch.optim.Adam([torch.zeros(1, requires_grad=True)])


def train(trainer: Trainer, budget: Budget, checkpoint: Callable[[], Any] | None = None) -> Outcome:
    """Run a trainer to its end, to Ctrl-C or to the end of the budget.

    `checkpoint` is called about once a minute, to save the trainer's state. Raises what the trainer raises.
    """
    costs: list[float] = []
    stopped, began = "", time.monotonic()
    saved = began
    with stop_on_interrupt() as interrupted, bar(trainer.config.steps, "training", "step") as shown:
        shown.update(trainer.step_number)

        def after_step(progress: Progress) -> bool:
            nonlocal stopped, saved
            costs.append(progress.cost)
            over = budget.is_over(progress)
            shown.total = trainer.config.steps
            shown.set_postfix_str(_figures(progress, costs[0]), refresh=False)
            shown.update()
            if checkpoint is not None and time.monotonic() - saved > CHECKPOINT_SECONDS:
                checkpoint()
                saved = time.monotonic()
            if trainer.step_number < trainer.config.steps:
                stopped = "Ctrl-C" if interrupted() else "time" if over else ""
            return bool(stopped)

        steering = trainer.run(after_step)
    return Outcome(steering, costs, stopped, saved > began)


def fit_method(method: Method, problem: Problem, config: Options, budget: Budget) -> Outcome:
    """Run any method to its end, to Ctrl-C or to the end of the budget. Raises what the method raises."""
    costs: list[float] = []
    stopped = ""
    with stop_on_interrupt() as interrupted, bar(0, method.name, "step") as shown:

        def after_step(told: Advance) -> bool:
            nonlocal stopped
            shown.total = told.steps
            shown.update(told.step - shown.n)
            if math.isfinite(told.objective):
                costs.append(told.objective)
                shown.set_postfix_str(f"{costs[0]:.4g} -> {told.objective:.4g}", refresh=False)
            over = budget.seconds is not None and budget.elapsed >= budget.seconds
            if told.step < told.steps:
                stopped = "Ctrl-C" if interrupted() else "time" if over else ""
            return bool(stopped)

        steering = method.fit(problem, config, after_step)
    return Outcome(steering, costs, stopped)


def _figures(progress: Progress, first: float) -> str:
    kept = f", preserve {progress.preserve:.3g}" if progress.preserve else ""
    return f"cost {first:.4g} -> {progress.cost:.4g}{kept}"


@contextmanager
def stop_on_interrupt() -> Iterator[Callable[[], bool]]:
    """Gives a function that tells whether Ctrl-C was pressed; the usual handler is back afterwards."""
    pressed = threading.Event()

    def on_interrupt(number: int, frame: Any) -> None:
        if pressed.is_set():
            raise KeyboardInterrupt
        pressed.set()
        complain("stopping after this step and keeping what was learned; Ctrl-C again aborts.")

    if threading.current_thread() is not threading.main_thread():  # signals belong to the main thread
        yield pressed.is_set
        return
    usual = signal.signal(signal.SIGINT, on_interrupt)
    try:
        yield pressed.is_set
    finally:
        signal.signal(signal.SIGINT, usual)


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
