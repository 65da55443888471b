"""Text encoders leave the device while a denoiser is fitted, and come back to encode prompts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from lineas.fitting.returning_weights import come_and_go

_CPU = torch.device("cpu")


class Resting:
    """Parts of a pipeline that are on the CPU while others are fitted.

    pipe: a copy of the user's pipeline, which shares its parts. start: how their names begin; None for no
    parts. Those that are offloaded, spread over devices, quantised or on the CPU are left where they are.
    """

    def __init__(self, pipe: Any, start: str | None) -> None:
        self._pipe, self._start, self._depth = pipe, start, 0
        self._homes: list[tuple[Any, torch.device]] = []

    @property
    def is_away(self) -> bool:
        """True while there are parts that rest."""
        return bool(self._homes)

    @contextmanager
    def away(self) -> Iterator[None]:
        """The parts rest until the block ends, which may hold others of this kind."""
        self._depth += 1
        kind = type(self._pipe)
        try:
            if self._depth == 1:
                self._homes = [(part, part.device) for part in self._movable()]
                if self._homes:
                    # The pipeline goes on where it works now; it would take the device of its first part.
                    own = {name: getattr(self._pipe, name) for name in ("_execution_device", "device")}
                    self._pipe.__class__ = type(kind.__name__, (kind,), own)
                self._send()
            yield
        finally:
            self._depth -= 1
            if not self._depth:
                self._fetch()
                self._pipe.__class__, self._homes = kind, []

    @contextmanager
    def at_hand(self) -> Iterator[None]:
        """The parts are back on their devices until the block ends."""
        self._fetch()
        try:
            yield
        finally:
            self._send()

    def _movable(self) -> Iterator[Any]:
        for name, part in self._pipe.components.items():
            chosen = self._start and name.startswith(self._start) and isinstance(part, nn.Module)
            if chosen and part.device.type not in ("cpu", "meta") and not _is_held(part):
                yield part

    def _send(self) -> None:
        for part, _ in self._homes:
            part.to(_CPU)
        if self._homes and torch.cuda.is_available():
            torch.cuda.empty_cache()

    def _fetch(self) -> None:
        for part, home in self._homes:
            part.to(home)


def _is_held(part: nn.Module) -> bool:
    """True where a library moves the weights itself, or does not let them be moved."""
    return come_and_go(part) or hasattr(part, "hf_device_map") or getattr(part, "is_quantized", False)
