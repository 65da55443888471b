"""One training run at the command line: progress bar, Ctrl-C, time budget and checkpoints."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from lineas.cli.budget import Budget
from lineas.cli.console import bar
from lineas.cli.interrupt import stop_on_interrupt

if TYPE_CHECKING:
    from lineas.config import Options
    from lineas.methods.registry import Method
    from lineas.problem import Problem
    from lineas.progress import Advance
    from lineas.steering import Steering
    from lineas.training import Progress, Trainer

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
