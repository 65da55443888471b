"""Steerings made from steerings: inverted, composed, restricted."""

from __future__ import annotations

from typing import Any

from comfy_api.v0_0_2 import io

from ..algebra import GROUPS, MODES, composed, inverted, restricted
from .types import CATEGORY, STRENGTHS, Steering, found_by

MOST = 4


class InvertSteering(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="LineasInvertSteering",
            display_name="LinEAS Invert Steering",
            category=CATEGORY,
            description="The steering that undoes this one. Unlike a negative strength it is exact.",
            **found_by("undo", "negative steering", "opposite"),
            inputs=[
                Steering.Input("steering", tooltip="The steering to undo."),
                io.Float.Input(
                    "min_scale",
                    default=0.05,
                    min=0.001,
                    max=1.0,
                    step=0.001,
                    round=0.0001,
                    tooltip="Units that the steering almost switches off cannot be undone; they are limited "
                    "to 1 / this scale.",
                ),
            ],
            outputs=[Steering.Output(display_name="steering")],
        )

    @classmethod
    def execute(cls, steering: Any, min_scale: float) -> io.NodeOutput:
        return io.NodeOutput(inverted(steering, min_scale))


class ComposeSteerings(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="LineasComposeSteerings",
            display_name="LinEAS Compose Steerings",
            category=CATEGORY,
            description="Two or more steerings as one, each at its weight; to be saved or exported.",
            **found_by("merge steerings", "combine", "stack", "sum"),
            inputs=[
                io.Combo.Input(
                    "mode",
                    options=list(MODES),
                    default="sequence",
                    tooltip="sequence: one after the other. sum: their changes are added, as stacked LoRAs.",
                ),
                *[entry for number in range(1, MOST + 1) for entry in _pair(number)],
            ],
            outputs=[Steering.Output(display_name="steering")],
        )

    @classmethod
    def execute(cls, mode: str, **given: Any) -> io.NodeOutput:
        numbers = [n for n in range(1, MOST + 1) if given.get(f"steering_{n}") is not None]
        steerings = [given[f"steering_{n}"] for n in numbers]
        return io.NodeOutput(composed(steerings, [given.get(f"weight_{n}", 1.0) for n in numbers], mode))


class RestrictSteering(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="LineasRestrictSteering",
            display_name="LinEAS Restrict Steering",
            category=CATEGORY,
            description="Keeps a steering in some parts of the model and drops it in the others.",
            **found_by("blocks", "block weight", "layers", "part of a steering"),
            inputs=[
                Steering.Input("steering", tooltip="The steering to restrict."),
                *[
                    io.Boolean.Input(name, default=True, tooltip=f"Keep {what}.")
                    for name, what in GROUPS.items()
                ],
                io.String.Input(
                    "pattern",
                    default="",
                    optional=True,
                    tooltip="Keep only module names that match, with * for anything; several joined by "
                    "commas. Empty: all.",
                ),
            ],
            outputs=[Steering.Output(display_name="steering")],
        )

    @classmethod
    def execute(cls, steering: Any, pattern: str = "", **groups: bool) -> io.NodeOutput:
        return io.NodeOutput(restricted(steering, [name for name, kept in groups.items() if kept], pattern))


def _pair(number: int) -> list[Any]:
    optional = number > 2
    return [
        Steering.Input(f"steering_{number}", optional=optional, tooltip=f"Steering number {number}."),
        io.Float.Input(
            f"weight_{number}",
            optional=optional,
            tooltip=f"Strength of steering {number}; 0 leaves it out.",
            **STRENGTHS,
        ),
    ]
