"""Graphs in the format of ComfyUI's interface, written by node names; what is not given has its default."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

Info = dict[str, Any]
WIDGETS = {"INT", "FLOAT", "STRING", "BOOLEAN", "COMBO"}


@dataclass(frozen=True)
class Node:
    """A node of a graph; `node[0]` is its first output."""

    id: str

    def __getitem__(self, output: int) -> list[Any]:
        return [self.id, output]


@dataclass
class Graph:
    """A graph for a server that says `info` of its nodes."""

    info: Info
    nodes: dict[str, Any] = field(default_factory=dict)

    def add(self, kind: str, /, **given: Any) -> Node:
        """A node of a kind. given: its inputs by name, outputs of nodes or values."""
        inputs = {name: _default(spec) for name, spec in self._widgets(kind)}
        inputs |= {name: value[0] if isinstance(value, Node) else value for name, value in given.items()}
        node = Node(str(len(self.nodes) + 1))
        self.nodes[node.id] = {"class_type": kind, "inputs": inputs}
        return node

    def _widgets(self, kind: str) -> list[tuple[str, list[Any]]]:
        required = self.info[kind]["input"].get("required", {})
        return [(name, spec) for name, spec in required.items() if _is_widget(spec)]


def _is_widget(spec: list[Any]) -> bool:
    options = spec[1] if len(spec) > 1 else {}
    return (isinstance(spec[0], list) or spec[0] in WIDGETS) and not options.get("forceInput")


def _default(spec: list[Any]) -> Any:
    options = spec[1] if len(spec) > 1 else {}
    choices = spec[0] if isinstance(spec[0], list) else options.get("options")
    return options.get("default", choices[0] if choices else "")
