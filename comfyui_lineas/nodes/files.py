"""Load, save and export steerings."""

from __future__ import annotations

from typing import Any

from comfy_api.v0_0_2 import io

from ..files import load_named, named_files, save_named, stamp
from ..graph_kept import HIDDEN, graph_of
from ..notices import board
from .types import CATEGORY, FileName, Steering, found_by


class LoadSteering(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="LineasLoadSteering",
            display_name="LinEAS Load Steering",
            category=CATEGORY,
            description="A steering from models/steering or output/steering.",
            **found_by("load concept", "slider", "activation steering"),
            inputs=[
                io.Combo.Input(
                    "steering_name",
                    options=named_files(),
                    tooltip="Files in models/steering and output/steering. Press R to list new ones.",
                )
            ],
            outputs=[Steering.Output(display_name="steering")],
        )

    @classmethod
    def fingerprint_inputs(cls, steering_name: str) -> Any:
        return stamp(steering_name)

    @classmethod
    def execute(cls, steering_name: str) -> io.NodeOutput:
        return io.NodeOutput(load_named(steering_name))


class SaveSteering(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="LineasSaveSteering",
            display_name="LinEAS Save Steering",
            category=CATEGORY,
            description="Writes a steering as one small file to output/steering, for Load Steering.",
            **found_by("save concept", "export steering"),
            is_output_node=True,
            hidden=[*HIDDEN],
            inputs=[
                Steering.Input("steering", tooltip="The steering to save."),
                io.String.Input(
                    "file_name",
                    default="my-steering",
                    tooltip="Name below output/steering. Nothing is overwritten: a number is added.",
                ),
                io.Combo.Input(
                    "precision",
                    options=["float32", "float16"],
                    default="float32",
                    tooltip="float32: exact. float16: half the size, rounded to three digits.",
                ),
            ],
            outputs=[io.String.Output(display_name="path", tooltip="Where the file is.")],
        )

    @classmethod
    def execute(cls, steering: Any, file_name: str, precision: str) -> io.NodeOutput:
        path = save_named(steering, file_name, precision, graph_of(cls.hidden))
        board().show(f"saved: {path}")
        return io.NodeOutput(path, ui={"text": (f"saved: {path}",)})


class ExportLora(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="LineasExportLoRA",
            display_name="LinEAS Export as LoRA",
            category=CATEGORY,
            description="Writes a steering as a LoRA file to output/loras. ComfyUI's LoRA loaders apply it, "
            "with their strength as the strength of the steering. Exact for the model it is exported from.",
            **found_by("save lora", "lora export", "slider lora"),
            is_output_node=True,
            inputs=[
                io.Model.Input("model", tooltip="The model that the LoRA will be used on, without LoRAs."),
                Steering.Input("steering", tooltip="The steering to export."),
                io.String.Input(
                    "file_name",
                    default="my-steering",
                    tooltip="Name below output/loras. Nothing is overwritten: a number is added.",
                ),
                io.Float.Input(
                    "strength",
                    default=1.0,
                    min=-3.0,
                    max=3.0,
                    step=0.05,
                    round=0.001,
                    tooltip="What strength 1 of the LoRA loader will mean.",
                ),
                io.Combo.Input(
                    "precision",
                    options=["float16", "float32"],
                    default="float16",
                    tooltip="float16: what most loaders compute in. float32: exact, twice the size.",
                ),
                io.Boolean.Input(
                    "skip_unsupported",
                    default=False,
                    tooltip="Leave out sites that a LoRA file cannot hold, instead of refusing.",
                ),
                io.Clip.Input(
                    "clip", optional=True, tooltip="Only for steerings that act in the text encoder."
                ),
            ],
            outputs=[
                FileName.Output(display_name="lora_name", tooltip="Link it to the LoRA loader's lora_name.")
            ],
        )

    @classmethod
    def execute(cls, model: Any, steering: Any, clip: Any = None, **options: Any) -> io.NodeOutput:
        from ..apply.lora import export_lora

        exported = export_lora(model, clip, steering, **options)
        board().show(exported.message)
        return io.NodeOutput(exported.name, ui={"text": (exported.message,)})
