"""Train Steering: a concept learned from two prompt lists, inside the graph."""

from __future__ import annotations

from typing import Any

from comfy_api.v0_0_2 import io

from ..models.one_step import AUTOMATIC, SETTINGS
from ..report import picture_and_text
from ..train.request import PRESETS, SITES, TrainRequest
from .types import CATEGORY, Steering, help_of, seed_input


class TrainSteering(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="LineasTrainSteering",
            display_name="LinEAS Train Steering",
            category=CATEGORY,
            description="Learns a steering from source prompts to target prompts and saves it to "
            "output/steering. Cancel stops within a step and keeps what was learned.",
            is_output_node=True,
            inputs=[
                io.Model.Input(
                    "model", tooltip="The model to steer. Models that draw in one step learn best."
                ),
                io.Clip.Input("clip", tooltip="The text encoder that belongs to the model."),
                _prompts("source", "Prompts to steer away from, one per line, at least 2; 32 work well."),
                _prompts("target", "Prompts to steer towards, one per line, at least 2."),
                _prompts("preserve", "Prompts whose images are to stay, one per line. Empty: none.", True),
                io.Combo.Input(
                    "preset",
                    options=list(PRESETS),
                    default="fast",
                    tooltip="fast: a minute or two. paper: the optimisation of the paper, ten times as long.",
                ),
                io.Int.Input(
                    "steps",
                    default=0,
                    min=0,
                    max=10000,
                    tooltip=f"{help_of('steps')} 0 takes the preset's: 100 for fast, 1000 for paper.",
                ),
                io.Combo.Input(
                    "sites",
                    options=list(SITES),
                    default="all norms",
                    tooltip="Where the steering acts. Fewer, better-placed sites can beat more; resnet norms "
                    "hold texture and light, attention norms what is drawn. On the bundled model text "
                    "encoder, end to end with map gated erases most and changes least else.",
                ),
                io.String.Input(
                    "pattern",
                    default="unet.*norm*",
                    tooltip="Module names for own pattern, with * for anything; several joined by commas.",
                ),
                io.Combo.Input(
                    "one_step",
                    options=[AUTOMATIC, *SETTINGS],
                    default=AUTOMATIC,
                    tooltip="Where the single denoising step is taken. automatic: as a One Step node before "
                    "it says, else from full noise.",
                ),
                io.Int.Input(
                    "timestep",
                    default=999,
                    min=0,
                    max=999,
                    tooltip="The timestep for own timestep; 999 is full noise.",
                ),
                io.Int.Input(
                    "width",
                    default=0,
                    min=0,
                    max=4096,
                    step=8,
                    tooltip="Width in pixels of the images that are learned from. 0: the model's own.",
                ),
                io.Int.Input(
                    "height",
                    default=0,
                    min=0,
                    max=4096,
                    step=8,
                    tooltip="Height in pixels of the images that are learned from. 0: the model's own.",
                ),
                io.Float.Input(
                    "sparsity",
                    default=0.0,
                    min=0.0,
                    max=100.0,
                    step=0.001,
                    round=0.00001,
                    tooltip=help_of("sparsity"),
                ),
                io.Float.Input(
                    "preserve_weight",
                    default=1.0,
                    min=0.0,
                    max=100.0,
                    step=0.05,
                    tooltip=help_of("preserve_weight"),
                ),
                io.Float.Input(
                    "learning_rate",
                    default=0.0,
                    min=0.0,
                    max=10.0,
                    step=0.001,
                    round=0.00001,
                    tooltip=f"{help_of('learning_rate')} 0 takes the preset's.",
                ),
                io.Combo.Input(
                    "map",
                    options=["affine", "gated"],
                    default="affine",
                    tooltip=f"{help_of('map')} On the bundled model gated, with text encoder, end to end, "
                    "erases most and changes least else.",
                ),
                seed_input(help_of("seed")),
                io.Int.Input("micro_batch", default=0, min=0, max=1024, tooltip=help_of("micro_batch")),
                io.Boolean.Input(
                    "low_memory",
                    default=False,
                    tooltip="Half the memory for a third more time: activations are computed again.",
                ),
                io.Boolean.Input(
                    "resume",
                    default=True,
                    tooltip="Go on where a cancelled training of the same file name stopped, if everything "
                    "else is as it was.",
                ),
                io.Int.Input(
                    "preview_every",
                    default=5,
                    min=0,
                    max=1000,
                    tooltip="Steps between two previews in the node: two source prompts as steered so far, "
                    "or the cost where no VAE is connected. 0: none.",
                ),
                io.String.Input(
                    "file_name",
                    default="my-steering",
                    tooltip="Name below output/steering. Nothing is overwritten: a number is added.",
                ),
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

        result = train(model, clip, vae, TrainRequest(**options))
        shown = picture_and_text(result.report, result.summary, cls)
        return io.NodeOutput(result.steering, result.report, result.summary, ui=shown)


def _prompts(name: str, tooltip: str, optional: bool = False) -> Any:
    return io.String.Input(name, multiline=True, default="", tooltip=tooltip, optional=optional)
