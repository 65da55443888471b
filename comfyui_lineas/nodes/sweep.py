"""Strength Sweep and Sweep Grid: one image per strength through the stock sampler, on one sheet."""

from __future__ import annotations

from typing import Any

from comfy_api.v0_0_2 import io

from ..report import picture_and_text
from .types import CATEGORY, Steering, advanced, found_by


class StrengthSweep(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="LineasStrengthSweep",
            display_name="LinEAS Strength Sweep",
            category=CATEGORY,
            description="The model at a list of strengths. Everything behind it runs once for each, with the "
            "same seed; Sweep Grid gathers the images.",
            **found_by("slider", "grid", "compare strengths", "x/y plot"),
            inputs=[
                io.Model.Input("model", tooltip="The model to steer."),
                Steering.Input("steering", tooltip="What to steer it by."),
                io.String.Input(
                    "strengths",
                    default="0, 0.25, 0.5, 0.75, 1",
                    tooltip="Numbers with commas between them, or from:to:count such as -1:1:5.",
                ),
                io.Clip.Input(
                    "clip", optional=True, tooltip="Needed by steerings that act in the text encoder."
                ),
            ],
            outputs=[
                io.Model.Output(display_name="model", is_output_list=True),
                io.Clip.Output(display_name="clip", is_output_list=True),
                io.Float.Output(display_name="strength", is_output_list=True),
            ],
        )

    @classmethod
    def execute(cls, model: Any, steering: Any, strengths: str, clip: Any = None) -> io.NodeOutput:
        from ..sweep import sweep_models

        return io.NodeOutput(*sweep_models(model, clip, steering, strengths))


class SweepGrid(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="LineasSweepGrid",
            display_name="LinEAS Sweep Grid",
            category=CATEGORY,
            description="A labelled contact sheet: one column per strength, one row per image of the batch.",
            **found_by("contact sheet", "grid", "x/y plot", "compare images"),
            is_input_list=True,
            is_output_node=True,
            inputs=[
                io.Image.Input("images", tooltip="The images of a sweep, from the VAE decoder."),
                io.Float.Input(
                    "strength", force_input=True, tooltip="The strengths, from the Strength Sweep."
                ),
                advanced(
                    io.String.Input("title", default="", optional=True, tooltip="A text above the sheet.")
                ),
                advanced(
                    io.String.Input(
                        "row_labels",
                        default="",
                        multiline=True,
                        optional=True,
                        tooltip="One text per image of the batch, one per line, such as the prompts.",
                    )
                ),
            ],
            outputs=[io.Image.Output(display_name="sheet")],
        )

    @classmethod
    def execute(
        cls,
        images: list[Any],
        strength: list[float],
        title: list[str] | None = None,
        row_labels: list[str] | None = None,
    ) -> io.NodeOutput:
        from ..sweep import sweep_grid

        sheet = sweep_grid(images, strength, (title or [""])[0], (row_labels or [""])[0])
        return io.NodeOutput(sheet, ui=picture_and_text(sheet, "", cls))
