"""Steering Info: what a steering is, as a picture and as text."""

from __future__ import annotations

from typing import Any

from comfy_api.v0_0_2 import io

from ..report import image_of, picture_and_text
from .types import CATEGORY, Steering, found_by


class SteeringInfo(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="LineasSteeringInfo",
            display_name="LinEAS Steering Info",
            category=CATEGORY,
            description="Where a steering acts and how strongly, what it was made for and how.",
            **found_by("steering metadata", "inspect", "analyse"),
            is_output_node=True,
            inputs=[Steering.Input("steering", tooltip="The steering to look at.")],
            outputs=[
                io.Image.Output(display_name="picture"),
                io.String.Output(display_name="text"),
            ],
        )

    @classmethod
    def execute(cls, steering: Any) -> io.NodeOutput:
        from ..report import steering_picture

        picture, text = image_of(steering_picture(steering)), steering.summary()
        return io.NodeOutput(picture, text, ui=picture_and_text(picture, text, cls))
