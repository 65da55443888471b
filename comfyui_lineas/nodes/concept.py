"""Steer Concept: say what to remove, add or swap, and get a steered model."""

from __future__ import annotations

from typing import Any

from comfy_api.v0_0_2 import io

from ..concepts.request import ConceptInputs
from ..graph_kept import HIDDEN, graph_of
from ..notices import board
from ..report import picture_and_text, usable
from .apply import WORDS, strength_input
from .fields import inputs_of
from .types import CATEGORY, Steering, found_by


class SteerConcept(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        what, intent, *others = inputs_of(ConceptInputs)
        return io.Schema(
            node_id="LineasSteerConcept",
            display_name="LinEAS Steer Concept",
            category=CATEGORY,
            description="Removes, adds or swaps a concept. It is learned on first use, saved to "
            "output/steering, and taken from there whenever the same is asked again.",
            is_output_node=True,
            hidden=[*HIDDEN],
            inputs=[
                io.Model.Input("model", tooltip="The model to steer."),
                io.Clip.Input("clip", tooltip="The text encoder that belongs to the model."),
                what,
                intent,
                strength_input(),
                *others,
                io.Vae.Input("vae", optional=True, tooltip="For the live preview while it is learned."),
            ],
            outputs=[
                io.Model.Output(display_name="model"),
                io.Clip.Output(display_name="clip", tooltip="Encode the prompts with this one."),
                Steering.Output(display_name="steering"),
                io.Image.Output(display_name="report", tooltip="Where the steering acts and how strongly."),
                io.String.Output(display_name="summary", tooltip="The figures and the plan as text."),
            ],
            **found_by(*WORDS, "swap", "replace", "learn", "forget", "unlearn"),
        )

    @classmethod
    def execute(cls, model: Any, clip: Any, strength: float, vae: Any = None, **inputs: Any) -> io.NodeOutput:
        from ..apply.steering import apply_steering
        from ..concepts.learned import learned

        given = ConceptInputs(**inputs)
        made = learned(model, clip, vae, given, graph_of(cls.hidden))
        if told := usable(made.steering, strength):
            board().show(told)
        steered = apply_steering(model, clip, made.steering, strength)
        shown: Any = {"text": (made.summary,)}
        if not (made.is_new and given.preview_every):  # else the last preview stays on the node
            shown = picture_and_text(made.report, made.summary, cls)
        return io.NodeOutput(*steered, made.steering, made.report, made.summary, ui=shown)
