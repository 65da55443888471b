"""Apply Steering: put a steering on a model, at a strength, where and when it is wanted."""

from __future__ import annotations

from typing import Any

from comfy_api.v0_0_2 import io

from ..algebra import GROUPS, at_blocks
from ..apply.placement import BRANCHES, METHODS, Placement
from ..files import load_named, named_files, stamp
from ..notices import board
from ..report import usable
from .types import CATEGORY, STRENGTHS, Steering, advanced, found_by

WORDS = ("steering", "concept", "slider", "remove", "erase", "add", "style", "negative", "activation")


class ApplySteering(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="LineasApplySteering",
            display_name="LinEAS Apply Steering",
            category=CATEGORY,
            description="Steers a model. Other branches of the graph and later runs keep it as it was; "
            "several of these, LoRAs and other patches stack.",
            inputs=[
                io.Model.Input("model", tooltip="The model to steer."),
                Steering.Input("steering", tooltip="What to steer it by."),
                strength_input(),
                *_placement(),
            ],
            outputs=_outputs(),
            **found_by(*WORDS),
        )

    @classmethod
    def execute(
        cls,
        model: Any,
        steering: Any,
        strength: float,
        clip: Any = None,
        block_strengths: str = "",
        **placement: Any,
    ) -> io.NodeOutput:
        from ..apply.steering import apply_steering

        chosen = at_blocks(steering, block_strengths)
        if told := usable(chosen, strength):
            board().show(told)
        return io.NodeOutput(*apply_steering(model, clip, chosen, strength, Placement(**placement)))


class LoadAndApplySteering(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="LineasLoadAndApplySteering",
            display_name="LinEAS Load & Apply Steering",
            category=CATEGORY,
            description="Steers a model by a file, as a LoRA loader does: one file, one strength.",
            inputs=[
                io.Model.Input("model", tooltip="The model to steer."),
                io.Combo.Input(
                    "steering_name",
                    options=named_files(),
                    tooltip="Files in models/steering and output/steering. Press R to list new ones.",
                ),
                strength_input(),
                *_placement(),
            ],
            outputs=_outputs(),
            **found_by(*WORDS, "load", "lora"),
        )

    @classmethod
    def fingerprint_inputs(cls, steering_name: str, **_: Any) -> Any:
        return stamp(steering_name)

    @classmethod
    def execute(
        cls, model: Any, steering_name: str, strength: float, clip: Any = None, **how: Any
    ) -> io.NodeOutput:
        return ApplySteering.execute(model, load_named(steering_name), strength, clip, **how)


def strength_input() -> Any:
    return io.Float.Input(
        "strength",
        tooltip="0 is off, 1 what was trained, beyond it more. Negative values go the other way; "
        "Invert Steering undoes exactly.",
        **STRENGTHS,
    )


def _placement() -> list[Any]:
    """When, where and on what it acts: folded away, as most people want always, everywhere and all of it."""
    share = {"min": 0.0, "max": 1.0, "step": 0.01}
    when = [
        io.Float.Input(
            "start_percent",
            default=0.0,
            tooltip="Share of the sampling after which it begins to act; 0 is the first step.",
            **share,
        ),
        io.Float.Input(
            "end_percent",
            default=1.0,
            tooltip="Share of the sampling after which it stops acting; 1 is the last step.",
            **share,
        ),
    ]
    how = [
        io.Combo.Input(
            "apply_to",
            options=list(BRANCHES),
            default="both",
            tooltip="On which conditioning it acts: both, the positive (cond) or the negative "
            "(uncond). At cfg 1 the negative is not run.",
        ),
        io.Combo.Input(
            "method",
            options=list(METHODS),
            default="automatic",
            tooltip="weights: no cost at run time. hooks: while the model runs, exact in float8 too. "
            "automatic: weights wherever they can hold it.",
        ),
    ]
    blocks = io.String.Input(
        "block_strengths",
        default="",
        optional=True,
        tooltip="Strengths of groups of blocks that multiply the one above, such as down 0.5, up 0. Groups: "
        f"{', '.join(GROUPS)}, or a pattern of module names with *. Empty: all alike.",
    )
    clip = io.Clip.Input(
        "clip",
        optional=True,
        tooltip="Needed by steerings that act in the text encoder; encode prompts with the clip "
        "that comes out.",
    )
    mask = io.Mask.Input("mask", optional=True, tooltip="Act only there; white is full strength.")
    return [*map(advanced, [*when, *how, blocks]), clip, mask]


def _outputs() -> list[Any]:
    return [
        io.Model.Output(display_name="model"),
        io.Clip.Output(display_name="clip", tooltip="Steered too, where one is connected."),
    ]
