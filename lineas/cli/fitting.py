"""One fit at the command line, by any method: progress bar, Ctrl-C, time and checkpoints."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from math import isfinite
from typing import TYPE_CHECKING, Any

from lineas.cli.console import bar, complain

if TYPE_CHECKING:
    from lineas.fitting.options import Options
    from lineas.fitting.problem import Problem
    from lineas.fitting.progress import Callback, Progress
    from lineas.methods.registry import Method
    from lineas.steering.steering import Steering

CHECKPOINT_SECONDS = 60.0
SIGNALS: dict[int, str] = {signal.SIGINT: "Ctrl-C", signal.SIGTERM: "SIGTERM"}
State = dict[str, Any]


@dataclass
class Outcome:
    """What a fit gave.

    steps, seconds: made and taken. figures: what was watched fall, before each step. stopped: why it ended
    early, "" when it did not. checkpointed: while it ran. state: gives what it goes on from, None where the
    method cannot.
    """

    steering: Steering
    steps: int = 0
    seconds: float = 0.0
    figures: list[float] = field(default_factory=list)
    stopped: str = ""
    checkpointed: bool = False
    state: Callable[[], State] | None = None


def load_optimisers() -> None:
    """Import what torch imports with the first optimiser, some seconds' worth: loading, not training."""
    import torch

    torch.optim.Adam([torch.zeros(1, requires_grad=True)])


def fit(
    method: Method,
    problem: Problem,
    config: Options,
    seconds: float | None = None,
    state: Mapping[str, Any] | None = None,
    save: Callable[[State], Any] | None = None,
    log: Callback | None = None,
) -> Outcome:
    """Run a method to its end, to Ctrl-C or until the time is up. Raises what the method raises.

    state: to go on from, for methods that resume. save: called about once a minute with what resumes the fit.
    log: sees every step too.
    """

    from lineas.fitting.processes import Processes

    def on_step(told: Progress) -> bool:
        if log is not None:
            log(told)
        return watched(told, shown, interrupted())

    watched = _Watched(method.name, save)
    resumed = {"state": state} if method.resumes else {}
    with stop_on_interrupt() as interrupted, bar(0, method.name, "step") as shown:
        try:
            steering = method.fit(problem, config, on_step, seconds, **resumed)
        except Exception:
            watched.keep()
            raise
    outcome = watched.outcome(steering, seconds)
    # Of several processes one may have been asked to stop before the others heard of it.
    outcome.stopped = next((why for why in Processes().told(outcome.stopped) if why), "")
    return outcome


@contextmanager
def logs(trackers: Sequence[str], name: str, settings: Mapping[str, Any]) -> Iterator[Callback | None]:
    """What `fit` takes as `log`, for the trackers that `--log` names; None for none."""
    from lineas.fitting.logs import logged

    with ExitStack() as stack:
        each = [stack.enter_context(logged(tracker, name, settings)) for tracker in trackers]
        yield (lambda told: [log(told) for log in each]) if each else None


class _Watched:
    """The callback of one fit: it moves the bar, saves now and then, and passes Ctrl-C on."""

    def __init__(self, name: str, save: Callable[[State], Any] | None) -> None:
        self.name, self.save = name, save
        self.figures: list[float] = []
        self.last: Progress | None = None
        self.interrupted, self.checkpointed = "", False
        self.saved = time.monotonic()

    def keep(self) -> None:
        """After a failure: save what there is to go on from."""
        with suppress(Exception):  # the failure itself is what is told
            if self.save and self.last and self.last.state:
                self.save(self.last.state())

    def __call__(self, told: Progress, shown: Any, interrupted: str) -> bool:
        self.last = told
        shown.total = told.steps
        if isfinite(told.figure):
            self.figures.append(told.figure)
            kept = f", preserve {told.preserve:.3g}" if told.preserve else ""
            shown.set_postfix_str(f"{self.figures[0]:.4g} -> {told.figure:.4g}{kept}", refresh=False)
        shown.update(told.step - shown.n)
        if self.save and told.state and time.monotonic() - self.saved > CHECKPOINT_SECONDS:
            self.save(told.state())
            self.saved, self.checkpointed = time.monotonic(), True
        self.interrupted = interrupted if told.step < told.steps else ""
        return bool(self.interrupted)

    def outcome(self, steering: Steering, seconds: float | None) -> Outcome:
        last = self.last
        if last is None:
            return Outcome(steering)
        early = last.step < last.steps and seconds is not None and last.seconds >= seconds
        stopped = self.interrupted or ("time" if early else "")
        return Outcome(
            steering, last.step, last.seconds, self.figures, stopped, self.checkpointed, last.state
        )


@contextmanager
def stop_on_interrupt() -> Iterator[Callable[[], str]]:
    """Gives a function that tells what asked to stop, Ctrl-C or SIGTERM; "" while nothing did.

    The usual handlers are back afterwards.
    """
    asked: list[str] = []

    def on_signal(number: int, frame: Any) -> None:
        if asked:
            raise KeyboardInterrupt
        asked.append(SIGNALS[number])
        complain("stopping after this step and keeping what was learned; Ctrl-C again aborts.")

    def told() -> str:
        return asked[0] if asked else ""

    if threading.current_thread() is not threading.main_thread():  # signals belong to the main thread
        yield told
        return
    usual = {number: signal.signal(number, on_signal) for number in SIGNALS}
    try:
        yield told
    finally:
        for number, handler in usual.items():
            signal.signal(number, handler)
