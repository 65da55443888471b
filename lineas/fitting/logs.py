"""The figures of a fit in TensorBoard, Weights & Biases or trackio: a progress callback like any other."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from math import isfinite
from pathlib import Path
from typing import Any

from lineas.errors import ConfigError, require
from lineas.fitting.progress import Callback, Progress

FIGURES = ("objective", "cost", "preserve", "learning_rate", "sparsity", "seconds")
PROJECT = "lineas"
Write = Callable[[dict[str, float], int], Any]


@contextmanager
def logged(tracker: str, name: str, settings: Mapping[str, Any] | None = None) -> Iterator[Callback]:
    """A callback that writes the figures of each step; the run is closed when the block ends.

    tracker: "tensorboard" (into runs/<name>), "wandb" or "trackio" (in the project lineas). name: of the run.
    settings: what it was asked for. Raises `ConfigError` for another tracker and `MissingExtraError` where it
    is not installed.

        with logged("tensorboard", "no-fog") as log:
            fit(pipe, source, target, progress=log)
    """
    if tracker not in TRACKERS:
        raise ConfigError(f"Unknown tracker {tracker!r}, expected one of {', '.join(TRACKERS)}.")
    write, close = TRACKERS[tracker](name, dict(settings or {}))

    def log(told: Progress) -> None:
        figures = {figure: float(getattr(told, figure)) for figure in FIGURES}
        write({figure: value for figure, value in figures.items() if isfinite(value)}, told.step)

    try:
        yield log
    finally:
        close()


def _tensorboard(name: str, settings: dict[str, Any]) -> tuple[Write, Callable[[], Any]]:
    require("tensorboard", "log")
    writer = require("torch.utils.tensorboard", "log").SummaryWriter(str(Path("runs") / name))
    writer.add_text("settings", "\n".join(f"    {key} = {value}" for key, value in settings.items()))

    def write(figures: dict[str, float], step: int) -> None:
        for figure, value in figures.items():
            writer.add_scalar(figure, value, step)

    return write, writer.close


def _wandb(name: str, settings: dict[str, Any]) -> tuple[Write, Callable[[], Any]]:
    run = require("wandb", "log").init(project=PROJECT, name=name, config=settings)
    return lambda figures, step: run.log(figures, step=step), run.finish


def _trackio(name: str, settings: dict[str, Any]) -> tuple[Write, Callable[[], Any]]:
    trackio = require("trackio", "log")
    trackio.init(project=PROJECT, name=name, config=settings)
    return lambda figures, step: trackio.log(figures, step=step), trackio.finish


TRACKERS = {"tensorboard": _tensorboard, "wandb": _wandb, "trackio": _trackio}
