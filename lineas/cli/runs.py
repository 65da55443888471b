"""Training runs on disk: a checkpoint that also holds what was asked for, all that `--resume` needs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from lineas.errors import SteeringFileError

SUFFIX = ".checkpoint"


@dataclass(frozen=True)
class Run:
    """What a training run was asked for. `config` holds the fields of a `TrainConfig`."""

    model: str
    output: str
    source: tuple[str, ...]
    target: tuple[str, ...]
    config: dict[str, Any]
    preserve: tuple[str, ...] = ()
    label: str = ""
    task: str | None = None
    recipe: str | None = None
    sites: tuple[str, ...] | None = None
    dtype: str | None = None
    device: str | None = None


def save_run(asked: Run, state: Mapping[str, Any], path: Path) -> None:
    """Write a run and the state of its fit, whole or not at all. Raises `SteeringFileError`."""
    from lineas.fitting.resume_files import save_checkpoint

    save_checkpoint({**state, "run": asdict(asked)}, path)


def load_run(path: str | Path) -> tuple[Run, dict[str, Any]]:
    """The run, and the state that `Trainer.load_state` takes.

    Raises `SteeringFileError` for a file that is missing, damaged or holds no run.
    """
    from lineas.fitting.resume_files import load_checkpoint

    state = load_checkpoint(path)
    run = state.pop("run", None)
    known = {entry.name for entry in fields(Run)}
    try:
        # A file has no tuples, only lists.
        values: dict[str, Any] = {
            name: tuple(v) if isinstance(v, list) else v for name, v in run.items() if name in known
        }
        return Run(**values), state
    except (AttributeError, TypeError) as error:
        raise SteeringFileError(
            f"{path} does not say what was trained. Give a file that lineas train wrote, ending in {SUFFIX}."
        ) from error
