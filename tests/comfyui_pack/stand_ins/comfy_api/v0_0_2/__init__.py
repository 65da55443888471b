"""What the nodes use of ComfyUI's node API, as plain records."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any


class Record(SimpleNamespace):
    def __init__(self, id: str = "", **options: Any) -> None:
        super().__init__(id=id, **{"optional": False, "tooltip": None, **options})


def _kind(name: str) -> Any:
    class Input(Record):
        kind = name

    class Output(Record):
        kind = name

    return SimpleNamespace(Input=Input, Output=Output)


class Schema(SimpleNamespace):
    pass


class NodeOutput:
    def __init__(self, *values: Any, ui: Any = None) -> None:
        self.values, self.ui = values, ui


class ComfyNode:
    pass


class ComfyExtension:
    pass


_KINDS = ("Model", "Clip", "Vae", "Image", "Mask", "Sigmas", "String", "Int", "Float", "Boolean", "Combo")
io = SimpleNamespace(
    Schema=Schema,
    NodeOutput=NodeOutput,
    ComfyNode=ComfyNode,
    Hidden=SimpleNamespace(prompt="PROMPT", extra_pnginfo="EXTRA_PNGINFO"),
    Custom=_kind,
    **{name: _kind(name) for name in _KINDS},
)
