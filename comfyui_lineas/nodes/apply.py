"""Apply Steering: put a steering on a model, at a strength, where and when it is wanted."""

from __future__ import annotations

from typing import Any

from comfy_api.v0_0_2 import io

from ..apply.placement import BRANCHES, METHODS, Placement
from .types import CATEGORY, STRENGTHS, Steering


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
                io.Float.Input(
                    "strength",
                    tooltip="0 is off, 1 what was trained, beyond it more. Negative values go the other way; "
                    "Invert Steering undoes exactly.",
                    **STRENGTHS,
                ),
                io.Float.Input(
                    "start_percent",
                    default=0.0,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    tooltip="Share of the sampling after which it begins to act; 0 is the first step.",
                ),
                io.Float.Input(
                    "end_percent",
                    default=1.0,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    tooltip="Share of the sampling after which it stops acting; 1 is the last step.",
                ),
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
                io.Clip.Input(
                    "clip",
                    optional=True,
                    tooltip="Needed by steerings that act in the text encoder; encode prompts with the clip "
                    "that comes out.",
                ),
                io.Mask.Input("mask", optional=True, tooltip="Act only there; white is full strength."),
            ],
            outputs=[
                io.Model.Output(display_name="model"),
                io.Clip.Output(display_name="clip", tooltip="Steered too, where one is connected."),
            ],
        )

    @classmethod
    def execute(
        cls, model: Any, steering: Any, strength: float, clip: Any = None, **placement: Any
    ) -> io.NodeOutput:
        from ..apply.steering import apply_steering

        return io.NodeOutput(*apply_steering(model, clip, steering, strength, Placement(**placement)))
