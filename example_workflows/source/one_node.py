"""Workflows of Steer Concept on the bundled model: one node learns a concept and applies it."""

from __future__ import annotations

import notes
from canvas import Group, Node, Workflow
from parts import Scene, bundled

from lineas.scenes import BUNDLED


def remove(flow: Workflow) -> None:
    """Take the night out of pictures of the night."""
    _one(flow, "a turtle on the beach at night", notes.REMOVE, what="at night", intent="remove")


def add(flow: Workflow) -> None:
    """Draw in a style that the prompt does not name."""
    _one(flow, "a house in the meadow", notes.ADD, what="pixel art", intent="add")


def swap(flow: Workflow) -> None:
    """Draw another thing in place of the one that the prompt names."""
    _one(flow, "a turtle on the beach", notes.SWAP, what="turtle", intent="swap", to="boat")


def two(flow: Workflow) -> None:
    """Two concepts, one node behind the other."""
    model, scene = bundled(flow, "a turtle on the beach at night in the fog", shared=True)
    first = _steered(flow, model, model, what="at night", intent="remove")
    second = _steered(flow, first, model, what="in the fog", intent="remove")
    note = flow.note(notes.TWO, (300, 260))
    flow.lay_out(
        Group("1  A model", "model", [[note, model, *scene.nodes]]),
        Group("2  What to change", "train", [[first], [second]]),
        Group(
            "3  Compare",
            "look",
            [
                _seen(scene, first, "Without night"),
                _seen(scene, second, "Without night and fog"),
                scene.picture(model["model"], "As it was"),
            ],
        ),
    )


def transformer(flow: Workflow) -> None:
    """The same on a diffusion transformer in two steps."""
    asked = {"what": "at night", "intent": "remove"}
    _one(flow, "a house on the beach at night", notes.TRANSFORMER, name=BUNDLED[1], **asked)


def _one(flow: Workflow, prompt: str, text: str, name: str = BUNDLED[0], **asked: str) -> None:
    model, scene = bundled(flow, prompt, shared=True, name=name)
    steer = _steered(flow, model, model, **asked)
    note = flow.note(text, (300, 260))
    flow.lay_out(
        Group("1  A model", "model", [[note, model, *scene.nodes]]),
        Group("2  What to change", "train", [[steer]]),
        Group(
            "3  Compare",
            "look",
            [_seen(scene, steer, "With it"), scene.picture(model["model"], "As it was")],
        ),
    )


def _steered(flow: Workflow, before: Node, loaded: Node, **asked: str) -> Node:
    wires = {"model": before["model"], "clip": before["clip"], "vae": loaded["vae"]}
    return flow.add("LineasSteerConcept", size=(400, 760), **wires, **asked)


def _seen(scene: Scene, steer: Node, heading: str) -> list[Node]:
    """The scene as a steered model draws it, its prompt read by the steered text encoder."""
    read = scene.read_by(steer["clip"], "Prompt, as it is steered")
    return [read.positive, *read.picture(steer["model"], heading)]


WORKFLOWS = {
    "Remove a concept in one node": remove,
    "Add a style in one node": add,
    "Swap one thing for another": swap,
    "Two concepts at once": two,
    "On the bundled transformer": transformer,
}
