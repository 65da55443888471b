"""Train Steering: a concept learned from two prompt lists, inside the graph."""

from __future__ import annotations

from typing import Any

from comfy_api.v0_0_2 import io

from ..graph_kept import HIDDEN, graph_of
from ..report import picture_and_text
from ..train.request import TrainRequest
from .fields import inputs_of
from .types import CATEGORY, Steering, found_by


class TrainSteering(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="LineasTrainSteering",
            display_name="LinEAS Train Steering",
            category=CATEGORY,
            description="Learns a steering from source prompts to target prompts and saves it to "
            "output/steering. Cancel stops within a step and keeps what was learned.",
            **found_by("learn", "train concept", "remove", "erase", "add", "slider", "fit", "activation"),
            is_output_node=True,
            hidden=[*HIDDEN],
            inputs=[
                io.Model.Input(
                    "model", tooltip="The model to steer. Models that draw in one step learn best."
                ),
                io.Clip.Input("clip", tooltip="The text encoder that belongs to the model."),
                *inputs_of(TrainRequest),
                io.Vae.Input("vae", optional=True, tooltip="For the live preview picture."),
            ],
            outputs=[
                Steering.Output(display_name="steering"),
                io.Image.Output(
                    display_name="report", tooltip="Cost over steps, and where the steering acts."
                ),
                io.String.Output(display_name="summary", tooltip="The figures as text."),
            ],
        )

    @classmethod
    def execute(cls, model: Any, clip: Any, vae: Any = None, **options: Any) -> io.NodeOutput:
        from ..train.training import train

        request = TrainRequest(**options)
        result = train(model, clip, vae, request, graph_of(cls.hidden))
        # The last preview stays on the node; with a picture beside it some frontends show it twice.
        shown: Any = {"text": (result.summary,)}
        if not request.preview_every:
            shown = picture_and_text(result.report, result.summary, cls)
        return io.NodeOutput(result.steering, result.report, result.summary, ui=shown)
