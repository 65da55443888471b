"""Subgraph blueprints: a graph that the editor's node library offers as one node."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from canvas import Info, Node, Output, Workflow

INSIDE, OUTSIDE = -10, -20
"""Ids of the nodes at which values come in and go out, as the editor has them."""
NAMES = uuid.uuid5(uuid.NAMESPACE_URL, "lineas/subgraphs")
SIZE = (340, 300)


@dataclass
class Blueprint(Workflow):
    """Nodes with inputs and outputs of their own.

    given: inputs by name with their types. shown: those that are widgets, with their values. made: outputs
    by name.
    """

    given: dict[str, str] = field(default_factory=dict)
    shown: dict[str, Any] = field(default_factory=dict)
    made: dict[str, Output] = field(default_factory=dict)

    def input(self, name: str, type: str, value: Any = None) -> Output:
        """An input; with a value it is a widget of the node."""
        self.given[name] = type
        if value is not None:
            self.shown[name] = value
        info: Info = {"output": list(self.given.values()), "input_order": {}}
        return Output(Node(INSIDE, "", info, {"value": value}), len(self.given) - 1)

    def blueprint(self, title: str, description: str) -> dict[str, Any]:
        """What lies in `subgraphs/`: a workflow of one node, with what that node is."""
        name = str(uuid.uuid5(NAMES, title))
        return {
            "revision": 0,
            "last_node_id": len(self.nodes) + 1,
            "last_link_id": 0,
            "nodes": [self._outer(name, title)],
            "links": [],
            "version": 0.4,
            "definitions": {"subgraphs": [self._inner(name, title, description)]},
            "extra": {},
        }

    def _outer(self, name: str, title: str) -> dict[str, Any]:
        slots = [
            {"name": each, "type": type, **({"widget": {"name": each}} if each in self.shown else {})}
            for each, type in self.given.items()
        ]
        return {
            "id": len(self.nodes) + 1,
            "type": name,
            "title": title,
            "pos": [0, 0],
            "size": list(SIZE),
            "flags": {},
            "order": 0,
            "mode": 0,
            "inputs": [slot | {"link": None} for slot in slots],
            "outputs": [{"name": n, "type": out.type, "links": []} for n, out in self.made.items()],
            "properties": {"proxyWidgets": [["-1", each] for each in self.shown], "cnr_id": "lineas"},
            "widgets_values": list(self.shown.values()),
        }

    def _inner(self, name: str, title: str, description: str) -> dict[str, Any]:
        links = [*self._links(), *self._links_out()]
        right = max(node.pos[0] + node.size[0] for node in self.nodes)
        return {
            "id": name,
            "version": 1,
            "revision": 0,
            "state": {
                "lastGroupId": 0,
                "lastNodeId": len(self.nodes) + 1,
                "lastLinkId": len(links),
                "lastRerouteId": 0,
            },
            "config": {},
            "name": title,
            "category": "LinEAS",
            "description": description,
            "inputNode": {"id": INSIDE, "bounding": [-220, 0, 140, 40 + 20 * len(self.given)]},
            "outputNode": {"id": OUTSIDE, "bounding": [right + 80, 0, 140, 40 + 20 * len(self.made)]},
            "inputs": [
                _end(
                    f"{name} in {each}", each, type, [n for n, *ends in links if ends[:2] == [INSIDE, index]]
                )
                for index, (each, type) in enumerate(self.given.items())
            ],
            "outputs": [
                _end(
                    f"{name} out {each}",
                    each,
                    out.type,
                    [n for n, *ends in links if ends[2:4] == [OUTSIDE, index]],
                )
                for index, (each, out) in enumerate(self.made.items())
            ],
            "widgets": [],
            "nodes": [self._node(node, order, links) for order, node in enumerate(self.nodes)],
            "groups": [],
            "links": [dict(zip(_LINK, link, strict=True)) for link in links],
            "extra": {},
        }

    def _links_out(self) -> Iterator[tuple[int, int, int, int, int, str]]:
        first = 1 + len(list(self._links()))
        for index, out in enumerate(self.made.values()):
            yield first + index, out.node.id, out.index, OUTSIDE, index, out.type


def _end(key: str, name: str, type: str, links: list[int]) -> dict[str, Any]:
    return {"id": str(uuid.uuid5(NAMES, key)), "name": name, "type": type, "linkIds": links}


_LINK = ("id", "origin_id", "origin_slot", "target_id", "target_slot", "type")
