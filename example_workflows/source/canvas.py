"""Workflows in the format of ComfyUI's editor, from nodes by name and a layout in groups of columns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

Info = dict[str, Any]
"""What a server's /object_info says of its nodes."""

WIDGETS = {"INT", "FLOAT", "STRING", "BOOLEAN", "COMBO"}
TITLE, SLOT, WIDGET, TEXT, GAP, MARGIN = 30, 20, 28, 90, 40, 20
"""Heights in the editor: of a title, a slot, a widget, a field of several lines; distances between nodes."""
BADGE, OURS = 26, 3
"""In Nodes 2.0, which is the larger style: of the pack's name on a node, and more for each of its widgets."""
SHOWING = {"MaskPreview", "PreviewAny", "PreviewImage"}
"""Nodes at the end of a graph, to which newer releases gave an output; the files are the same for all."""
COLOURS = {"model": "#3f789e", "train": "#a1309b", "use": "#3f8a4e", "look": "#8a6d3b"}


class UnknownNodeError(LookupError):
    """A node that this release of ComfyUI does not have."""


@dataclass(frozen=True)
class Output:
    """One output of a node."""

    node: Node
    index: int

    @property
    def type(self) -> str:
        return str(self.node.info["output"][self.index])


@dataclass(eq=False)
class Node:
    """A node with its widget values by name and the outputs linked to its inputs.

    size: (width, height) in the editor; a height of 0 is taken from slots and widgets.
    """

    id: int
    type: str
    info: Info
    given: dict[str, Any]
    title: str = ""
    size: tuple[int, int] = (300, 0)
    models: tuple[dict[str, str], ...] = ()
    pos: tuple[int, int] = (0, 0)

    def __getitem__(self, output: str) -> Output:
        return Output(self, self.info["output_name"].index(output))

    @property
    def height(self) -> int:
        if self.size[1]:
            return self.size[1]
        every = list(_specs(self.info))
        specs = [entry for entry in every if not _options(entry[1]).get("advanced") or not self.is_ours]
        sockets = sum(not _is_widget(spec) for _, spec in specs)
        texts = sum(_is_text(spec) for _, spec in specs)
        widgets = sum(_is_widget(spec) for _, spec in specs) - texts + sum(map(_has_control, specs))
        widgets += len(specs) < len(every)  # the button that shows the others
        row, foot = (WIDGET + OURS, 16 + BADGE) if self.is_ours else (WIDGET, 16)
        return max(sockets, len(self.info["output"])) * SLOT + widgets * row + texts * TEXT + foot

    @property
    def is_ours(self) -> bool:
        """Whether the node is of this pack, whose name stands on it in some styles."""
        return self.type.startswith("Lineas")


@dataclass
class Group:
    """A titled frame around columns of nodes."""

    title: str
    colour: str
    columns: Sequence[Sequence[Node]]


@dataclass
class Workflow:
    """Nodes and their layout; `json` is what the editor saves."""

    info: Info
    nodes: list[Node] = field(default_factory=list)
    groups: list[tuple[Group, tuple[int, int, int, int]]] = field(default_factory=list)

    def add(self, type: str, /, heading: str = "", size: tuple[int, int] = (300, 0), **given: Any) -> Node:
        """A node of a type. Other arguments are its inputs by name: an `Output`, or a widget's value."""
        if type not in self.info:
            raise UnknownNodeError(f"This ComfyUI has no {type}.")
        unknown = set(given) - {name for name, _ in _specs(self.info[type])}
        if unknown:
            raise ValueError(f"{type} has no input {sorted(unknown)}, only {_names(self.info[type])}.")
        node = Node(len(self.nodes) + 1, type, self.info[type], given, heading, size)
        self.nodes.append(node)
        return node

    def note(self, text: str, size: tuple[int, int] = (300, 160), heading: str = "Read me") -> Node:
        spec = {"text": ["STRING", {"multiline": True}]}
        info = {"input": {"required": spec}, "input_order": {"required": ["text"]}, "output": []}
        node = Node(len(self.nodes) + 1, "MarkdownNote", info, {"text": text}, heading, size)
        self.nodes.append(node)
        return node

    def lay_out(self, *columns: Group | Sequence[Group]) -> None:
        """Columns of groups from left to right, groups below each other, nodes stacked in columns."""
        left = 0
        for column in columns:
            top = furthest = 0
            for group in [column] if isinstance(column, Group) else column:
                right, bottom = self._place(group, left, top)
                self.groups.append((group, (left, top, right - left, bottom - top)))
                top, furthest = bottom + GAP, max(furthest, right)
            left = furthest + GAP

    def _place(self, group: Group, left: int, top: int) -> tuple[int, int]:
        """Put a group's nodes from its upper left corner on; returns its lower right corner."""
        x, bottom = left + MARGIN, top
        for column in group.columns:
            y = top + TITLE + MARGIN
            for node in column:
                y += TITLE
                node.pos = (x, y)
                y += node.height + MARGIN
            bottom = max(bottom, y)
            x += max(node.size[0] for node in column) + GAP
        return x - GAP + MARGIN, bottom

    def json(self) -> dict[str, Any]:
        links = list(self._links())
        return {
            "last_node_id": len(self.nodes),
            "last_link_id": len(links),
            "nodes": [self._node(node, order, links) for order, node in enumerate(self.nodes)],
            "links": [list(link) for link in links],
            "groups": [
                {
                    "id": number,
                    "title": group.title,
                    "bounding": list(bounds),
                    "color": COLOURS[group.colour],
                    "font_size": 24,
                    "flags": {},
                }
                for number, (group, bounds) in enumerate(self.groups, 1)
            ],
            "config": {},
            "extra": {"ds": {"scale": 0.7, "offset": [60, 80]}},
            "version": 0.4,
        }

    def _links(self) -> Iterator[tuple[int, int, int, int, int, str]]:
        number = 0
        for node in self.nodes:
            for slot, (name, _) in enumerate(_slots(node.info)):
                origin = node.given.get(name)
                if isinstance(origin, Output):
                    number += 1
                    yield number, origin.node.id, origin.index, node.id, slot, origin.type

    def _node(self, node: Node, order: int, links: Sequence[tuple[Any, ...]]) -> dict[str, Any]:
        into = {slot: number for number, _, _, target, slot, _ in links if target == node.id}
        saved: dict[str, Any] = {
            "id": node.id,
            "type": node.type,
            "pos": list(node.pos),
            "size": [node.size[0], node.height],
            "flags": {},
            "order": order,
            "mode": 0,
            "inputs": [_slot(entry, into.get(i)) for i, entry in enumerate(_slots(node.info))],
            "outputs": _outputs(node, links),
            "properties": _properties(node),
            "widgets_values": list(_widget_values(node)),
        }
        if node.type == "MarkdownNote":
            saved |= {"inputs": [], "color": "#432", "bgcolor": "#653"}
        if node.title:
            saved["title"] = node.title
        return saved


def _specs(info: Info) -> Iterator[tuple[str, list[Any]]]:
    for group in ("required", "optional"):
        for name in info["input_order"].get(group, []):
            yield name, info["input"][group][name]


def _names(info: Info) -> list[str]:
    return [name for name, _ in _specs(info)]


def _slots(info: Info) -> list[tuple[str, list[Any]]]:
    """In the editor's order: mere sockets first, then the widgets, each of which has a socket too."""
    return sorted(_specs(info), key=lambda entry: _is_widget(entry[1]))


def _options(spec: Sequence[Any]) -> dict[str, Any]:
    return spec[1] if len(spec) > 1 else {}


def _is_widget(spec: Sequence[Any]) -> bool:
    return (isinstance(spec[0], list) or spec[0] in WIDGETS) and not _options(spec).get("forceInput")


def _is_text(spec: Sequence[Any]) -> bool:
    return spec[0] == "STRING" and bool(_options(spec).get("multiline")) and _is_widget(spec)


def _has_control(entry: tuple[str, Sequence[Any]]) -> bool:
    """Whether the editor adds a widget that says what becomes of the seed after a run."""
    name, spec = entry
    seed = spec[0] == "INT" and name in ("seed", "noise_seed")
    return bool(_options(spec).get("control_after_generate", seed))


def _default(spec: Sequence[Any]) -> Any:
    options = _options(spec)
    choices = spec[0] if isinstance(spec[0], list) else options.get("options")
    if "default" in options:
        return options["default"]
    return choices[0] if choices else ""


def _widget_values(node: Node) -> Iterator[Any]:
    for name, spec in _specs(node.info):
        if not _is_widget(spec):
            continue
        given = node.given.get(name)
        if isinstance(given, Output):  # the value of a blueprint's input, which is none of a node
            given = given.node.given.get("value") if given.node.id < 0 else None
        yield _default(spec) if given is None else given
        if _has_control((name, spec)):
            yield "fixed"


def _slot(entry: tuple[str, Sequence[Any]], link: int | None) -> dict[str, Any]:
    name, spec = entry
    slot: dict[str, Any] = {"name": name, "type": "COMBO" if isinstance(spec[0], list) else spec[0]}
    if _is_widget(spec):
        slot["widget"] = {"name": name}
    return slot | {"link": link}


def _outputs(node: Node, links: Sequence[tuple[Any, ...]]) -> list[dict[str, Any]]:
    names = node.info.get("output_name", [])
    if node.type in SHOWING:
        return []
    return [
        {
            "name": names[index],
            "type": type,
            "links": [link[0] for link in links if link[1:3] == (node.id, index)] or None,
        }
        for index, type in enumerate(node.info["output"])
    ]


def _properties(node: Node) -> dict[str, Any]:
    if node.type == "MarkdownNote":
        return {}
    pack = "lineas" if node.type.startswith("Lineas") else "comfy-core"
    properties: dict[str, Any] = {"Node name for S&R": node.type, "cnr_id": pack}
    return properties | ({"models": list(node.models)} if node.models else {})
