"""From the format that ComfyUI's editor saves to the one that its server runs, as the frontend converts."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

Workflow = dict[str, Any]
Prompt = dict[str, dict[str, Any]]
Link = list[Any]
"""[id of the node, index of the output]"""

MUTED, BYPASSED = 2, 4
FRONTEND_ONLY = {"Note", "MarkdownNote"}
WIDGETS = {"INT", "FLOAT", "STRING", "BOOLEAN", "COMBO"}


class GraphError(ValueError):
    """The workflow does not fit the nodes that the server has."""


def to_prompt(workflow: Workflow, object_info: dict[str, Any]) -> Prompt:
    """The prompt of a workflow, with the widgets' names from /object_info.

    Muted nodes are left out with their links, bypassed ones hand on an input of the output's type, notes
    are passed over.

    Raises:
        GraphError: a node that the server does not know, or another number of widget values than it has.
    """
    nodes = {node["id"]: node for node in workflow["nodes"] if node["type"] not in FRONTEND_ONLY}
    for node in nodes.values():
        if node["type"] not in object_info:
            raise GraphError(f"Node {node['id']} is a {node['type']!r}, which the server does not have.")
    links = {link[0]: link for link in workflow["links"]}
    prompt: Prompt = {}
    for node in nodes.values():
        if node.get("mode", 0) in (MUTED, BYPASSED):
            continue
        inputs: dict[str, Any] = widget_values(node, object_info[node["type"]])
        for slot in node.get("inputs", []):
            if slot.get("link") is None:
                continue
            origin = _origin(slot["link"], nodes, links)
            if origin is None:
                inputs.pop(slot["name"], None)
            else:
                inputs[slot["name"]] = origin
        prompt[str(node["id"])] = {"class_type": node["type"], "inputs": inputs}
    return prompt


def widget_values(node: dict[str, Any], info: dict[str, Any]) -> dict[str, Any]:
    """Name → value of a node's widgets; what the editor adds for itself is left out."""
    values = list(node.get("widgets_values") or [])
    slots = list(widget_slots(info))
    if len(slots) != len(values):
        raise GraphError(
            f"Node {node['id']} ({node['type']}) has {len(values)} widget values {values}, "
            f"expected {len(slots)}: {[name for name, _ in slots]}."
        )
    return {name: value for (name, sent), value in zip(slots, values, strict=True) if sent}


def widget_slots(info: dict[str, Any]) -> Iterator[tuple[str, bool]]:
    """(name, whether it is sent to the server) of each widget in the editor's order."""
    for name, spec in input_specs(info):
        if not is_widget(spec):
            continue
        yield name, True
        options = spec[1] if len(spec) > 1 else {}
        if options.get("control_after_generate", spec[0] == "INT" and name in ("seed", "noise_seed")):
            yield "control_after_generate", False
        if options.get("image_upload"):
            yield "upload", False


def input_specs(info: dict[str, Any]) -> Iterator[tuple[str, list[Any]]]:
    """(name, [type, options]) of each input, the required ones first."""
    for group in ("required", "optional"):
        for name in info.get("input_order", {}).get(group, []):
            yield name, info["input"][group][name]


def is_widget(spec: list[Any]) -> bool:
    """Whether the editor draws an input as a widget; a list of choices in place of a type is one."""
    options = spec[1] if len(spec) > 1 else {}
    if options.get("forceInput"):
        return False
    return isinstance(spec[0], list) or spec[0] in WIDGETS


def _origin(link_id: int, nodes: dict[int, Any], links: dict[int, list[Any]]) -> Link | None:
    """Where a link's value comes from once bypassed nodes are passed through; None if from nowhere."""
    _, node_id, output, *_ = links[link_id]
    node = nodes.get(node_id)
    while node is not None and node.get("mode", 0) == BYPASSED:
        wanted = node["outputs"][output]["type"]
        slots = node.get("inputs", [])
        candidates = [*slots[output : output + 1], *slots]
        through = next((s for s in candidates if s["type"] == wanted and s.get("link") is not None), None)
        if through is None:
            return None
        _, node_id, output, *_ = links[through["link"]]
        node = nodes.get(node_id)
    if node is None or node.get("mode", 0) == MUTED:
        return None
    return [str(node_id), output]


def find(prompt: Prompt, class_type: str) -> str:
    """The id of the only node of a class."""
    found = [node for node, content in prompt.items() if content["class_type"] == class_type]
    if len(found) != 1:
        raise GraphError(f"Expected one {class_type} in the prompt, found {len(found)}.")
    return found[0]


def edited(prompt: Prompt, class_type: str, **inputs: Any) -> Prompt:
    """A copy in which every node of a class has these inputs."""
    changed = copy.deepcopy(prompt)
    nodes = [content for content in changed.values() if content["class_type"] == class_type]
    if not nodes:
        raise GraphError(f"The prompt has no {class_type}.")
    for content in nodes:
        unknown = set(inputs) - set(content["inputs"])
        if unknown:
            raise GraphError(
                f"{class_type} has no input {sorted(unknown)}, only {sorted(content['inputs'])}."
            )
        content["inputs"].update(inputs)
    return changed


def with_mode(workflow: Workflow, class_type: str, mode: int) -> Workflow:
    """A copy in which every node of a class is muted or bypassed."""
    changed = copy.deepcopy(workflow)
    for node in changed["nodes"]:
        if node["type"] == class_type:
            node["mode"] = mode
    return changed
