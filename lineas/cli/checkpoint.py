"""Checkpoints: a training run on disk, with everything that `lineas train --resume` needs to go on."""

from __future__ import annotations

import io
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lineas.errors import LineasError, NewerFormatError, SteeringFileError

if TYPE_CHECKING:
    from lineas.training import Trainer

FORMAT, VERSION = "lineas.checkpoint", 1
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


def save_checkpoint(run: Run, trainer: Trainer, path: Path) -> None:
    """Write a run and the state of its trainer, whole or not at all. Raises `SteeringFileError`."""
    import torch

    from lineas.storage import write_atomically

    buffer = io.BytesIO()
    torch.save({"format": FORMAT, "version": VERSION, "run": asdict(run), "state": trainer.state()}, buffer)
    write_atomically(path, buffer.getvalue())


def load_checkpoint(path: str | Path) -> tuple[Run, dict[str, Any]]:
    """The run and the state that `Trainer.load_state` takes. Nothing in the file is executed.

    Raises `SteeringFileError` for a file that is missing, damaged or of another kind.
    """
    import pickle

    import torch

    try:
        # weights_only: plain values and tensors, and an error for anything else.
        content = torch.load(path, map_location="cpu", weights_only=True)
        _check(content)
        known = {entry.name for entry in fields(Run)}
        run = Run(**{name: value for name, value in content["run"].items() if name in known})
        return run, content["state"]
    except NewerFormatError:
        raise
    except (OSError, RuntimeError, pickle.UnpicklingError, EOFError, KeyError, TypeError, ValueError) as error:
        raise SteeringFileError(
            f"Cannot go on from {path}: {_reason(error)}. Give a file that lineas train wrote when it was stopped, "
            f"ending in {SUFFIX}."
        ) from error


def restore(trainer: Trainer, state: dict[str, Any], path: str | Path) -> None:
    """Put a state into a trainer of the same run. Raises `SteeringFileError` where it does not fit."""
    try:
        trainer.load_state(state)
    except (KeyError, ValueError, RuntimeError, TypeError) as error:
        raise SteeringFileError(
            f"{path} does not fit the model ({_reason(error)}). Has the model changed since? Start again."
        ) from error


def _check(content: Any) -> None:
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise SteeringFileError("it is no checkpoint")
    if content["version"] > VERSION:
        raise NewerFormatError("The checkpoint was written by a newer version. Update: pip install -U lineas.")


def _reason(error: BaseException) -> str:
    if isinstance(error, OSError):
        return error.strerror or str(error)
    if isinstance(error, LineasError):
        return str(error)
    return "it is damaged or of another kind" if not isinstance(error, ValueError) else str(error)
