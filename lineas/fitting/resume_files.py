"""Checkpoints: a training run on disk, to go on after a cancel or a crash."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
from torch import Tensor

from lineas.errors import NewerFormatError, SteeringFileError
from lineas.fitting.progress import Callback, Progress
from lineas.steering.files import write_atomically

FORMAT = "lineas.checkpoint"
FORMAT_VERSION = 1


def save_checkpoint(state: dict[str, Any], path: str | Path) -> None:
    """Write a `Trainer.state` as one safetensors file, replacing what is there only when it is complete.

    Raises `SteeringFileError` when the file cannot be written.
    """
    tensors: dict[str, Tensor] = {}
    packed = json.dumps(_pack(state, tensors))
    metadata = {"format": FORMAT, "format_version": str(FORMAT_VERSION), "state": packed}
    write_atomically(path, safetensors.torch.save(tensors, metadata))


def load_checkpoint(path: str | Path) -> dict[str, Any]:
    """Read a state written by `save_checkpoint`, on the CPU, for `Trainer.load_state`.

    Raises `SteeringFileError` for a file that is missing, damaged or of another kind, and `NewerFormatError`
    for one that a newer library wrote. Nothing in it is executed.
    """
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            _check_format(path, metadata)
            # Copied: the tensors may be windows on the mapped file, which the next save replaces.
            tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
        state = _unpack(json.loads(metadata["state"]), tensors)
        if not isinstance(state, dict):
            raise ValueError("it holds no state")
        return state
    except (
        OSError,
        safetensors.SafetensorError,
        ValueError,
        LookupError,
        TypeError,
        RecursionError,
    ) as error:
        if isinstance(error, SteeringFileError):
            raise
        raise SteeringFileError(
            f"Cannot read a checkpoint from {path}: {error}. Give a complete file written by this library, "
            "or start the fit afresh."
        ) from error


class Checkpoints:
    """A callback that saves the run every so many steps, and at the last, then calls another callback.

    path: the one file, replaced each time. every: steps between two saves, at least 1. then: what is asked
    whether to stop; a run that stops is saved first.
    """

    def __init__(self, path: str | Path, every: int = 25, then: Callback | None = None) -> None:
        self.path, self.every, self.then = path, max(1, every), then

    def __call__(self, progress: Progress) -> bool:
        stop = self.then is not None and self.then(progress) is True
        if progress.state is not None and (
            stop or progress.step % self.every == 0 or progress.step == progress.steps
        ):
            save_checkpoint(progress.state(), self.path)
        return stop


def _check_format(path: str | Path, metadata: dict[str, str]) -> None:
    if metadata.get("format") != FORMAT:
        raise ValueError(f"its format is {metadata.get('format')!r}, expected {FORMAT!r}")
    if int(metadata.get("format_version", "")) > FORMAT_VERSION:
        raise NewerFormatError(
            f"{path} was written by a newer version. Update the library: pip install --upgrade lineas."
        )


def _pack(value: Any, tensors: dict[str, Tensor]) -> Any:
    """Plain JSON, with the tensors moved into `tensors`; pairs instead of objects, as keys may be numbers."""
    if isinstance(value, Tensor):
        name = str(len(tensors))
        tensors[name] = value.detach().to("cpu", copy=True).contiguous()
        return {"tensor": name}
    if isinstance(value, dict):
        return {"pairs": [[key, _pack(item, tensors)] for key, item in value.items()]}
    if isinstance(value, (list, tuple)):
        return [_pack(item, tensors) for item in value]
    return value


def _unpack(value: Any, tensors: dict[str, Tensor]) -> Any:
    if isinstance(value, dict):
        if "tensor" in value:
            return tensors[value["tensor"]]
        return {key: _unpack(item, tensors) for key, item in value["pairs"]}
    return [_unpack(item, tensors) for item in value] if isinstance(value, list) else value
