"""Checkpoints: a training run on disk, to go on after a cancel or a crash."""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from lineas.errors import LineasError, NewerFormatError, SteeringFileError, plain
from lineas.fitting.progress import Callback, Progress
from lineas.steering.reading import MAX_BYTES, MAX_TEXT, open_tensors, parsed
from lineas.steering.writing import write_atomically

FORMAT = "lineas.checkpoint"
FORMAT_VERSION = 1
DTYPES = (torch.float32, torch.float64, torch.float16, torch.bfloat16)


def save_checkpoint(state: dict[str, Any], path: str | Path) -> None:
    """Write a `Trainer.state` as one safetensors file, replacing what is there only when it is complete.

    The file may hold prompts in clear text, so that a new one is for its owner alone (0600).
    Raises `SteeringFileError` when the file cannot be written, or would be too large to be read again.
    """
    tensors: dict[str, Tensor] = {}
    packed = json.dumps(_pack(state, tensors))
    size = sum(tensor.numel() * tensor.itemsize for tensor in tensors.values())
    if size > MAX_BYTES or len(packed) > MAX_TEXT:
        raise SteeringFileError(
            f"Cannot write {plain(path)}: a checkpoint of {size} bytes and {len(packed)} signs is larger "
            f"than one may be ({MAX_BYTES}, {MAX_TEXT}). Fit fewer sites or give fewer prompts."
        )
    metadata = {"format": FORMAT, "format_version": str(FORMAT_VERSION), "state": packed}
    write_atomically(path, safetensors.torch.save(tensors, metadata), private=True)


def load_checkpoint(path: str | Path) -> dict[str, Any]:
    """Read a state written by `save_checkpoint`, on the CPU, for `Trainer.load_state`.

    Sizes are bounded before anything is built, and every tensor is finite; what the state must hold is
    checked by `Trainer.load_state`. Raises `SteeringFileError` for a file that is missing, damaged or of
    another kind, and `NewerFormatError` for one that a newer library wrote. Nothing in it is executed.
    """
    try:
        with open_tensors(path) as file:
            metadata = file.metadata() or {}
            _check_format(path, metadata)
            # Copied: the tensors may be windows on the mapped file, which the next save replaces.
            tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
        _check_tensors(tensors)
        state = _unpack(parsed(metadata["state"]), tensors)
        if not isinstance(state, dict) or tensors:
            raise ValueError("it holds no state, or more than a state")
        return state
    except NewerFormatError:
        raise
    except (
        LineasError,
        OSError,
        safetensors.SafetensorError,
        ValueError,
        LookupError,
        TypeError,
        RecursionError,
    ) as error:
        raise SteeringFileError(
            f"Cannot read a checkpoint from {plain(path)}: {plain(error)}. Give a complete file written by "
            "this library, or start the fit afresh."
        ) from error


class Checkpoints:
    """A callback that saves the run every so many steps, and at the last, then calls another callback.

    path: the one file, replaced each time. every: steps between two saves, at least 1. then: what is asked
    whether to stop; a run that stops is saved first. A file that cannot be written is a warning, once: it
    does not end the run.
    """

    def __init__(self, path: str | Path, every: int = 25, then: Callback | None = None) -> None:
        self.path, self.every, self.then = path, max(1, every), then
        self.failed = False

    def __call__(self, progress: Progress) -> bool:
        stop = self.then is not None and self.then(progress) is True
        due = stop or progress.step % self.every == 0 or progress.step == progress.steps
        if due and progress.state is not None:
            self._save(progress, progress.state)
        return stop

    def _save(self, progress: Progress, state: Callable[[], dict[str, Any]]) -> None:
        try:
            save_checkpoint(state(), self.path)
        except SteeringFileError as error:
            if not self.failed:
                warnings.warn(f"The training goes on without a checkpoint. {error}", stacklevel=3)
            self.failed = True
            logging.getLogger(__name__).debug("no checkpoint at step %d: %s", progress.step, error)


def _check_format(path: str | Path, metadata: dict[str, str]) -> None:
    if metadata.get("format") != FORMAT:
        raise ValueError(f"its format is {plain(metadata.get('format'), 40)!r}, expected {FORMAT!r}")
    version = metadata.get("format_version", "")
    if not (version.isdecimal() and len(version) < 10):
        raise ValueError(f"its format version is {plain(version, 40)!r}, expected {FORMAT_VERSION}")
    if int(version) > FORMAT_VERSION:
        raise NewerFormatError(
            f"{plain(path)} was written by a newer version. Update the library: pip install --upgrade lineas."
        )


def _check_tensors(tensors: dict[str, Tensor]) -> None:
    for name, tensor in tensors.items():
        if tensor.dtype not in DTYPES or not bool(torch.isfinite(tensor).all()):
            raise ValueError(f"its tensor {plain(name, 40)} is not of finite floating numbers")


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
    """The inverse of `_pack`. Every tensor is taken once, so that none can stand for many."""
    if isinstance(value, dict):
        if "tensor" in value:
            return tensors.pop(value["tensor"])
        pairs = value["pairs"]
        if not all(isinstance(pair, list) and len(pair) == 2 for pair in pairs):
            raise ValueError("a table of it is no list of pairs")
        return {key: _unpack(item, tensors) for key, item in pairs}
    return [_unpack(item, tensors) for item in value] if isinstance(value, list) else value
