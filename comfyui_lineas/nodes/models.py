"""Load Scenes Model and One Step: models that are ready to draw in a single step."""

from __future__ import annotations

from typing import Any

from comfy_api.v0_0_2 import io

from lineas.scenes import BUNDLED

from ..models.one_step import SETTINGS, one_step
from .types import CATEGORY, found_by


class LoadScenesModel(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="LineasLoadScenesModel",
            display_name="LinEAS Load Scenes Model",
            category=CATEGORY,
            description="The small models that come with the pack, for 128 × 128 pixels at cfg 1 with the "
            "sampler euler: scenes draws in one step, scenes-transformer, a small Z-Image, in two with the "
            "scheduler simple. Everything can be tried on them without a download.",
            **found_by("demo model", "example", "tiny model"),
            inputs=[
                io.Combo.Input(
                    "model",
                    options=list(BUNDLED),
                    default=BUNDLED[0],
                    optional=True,
                    tooltip="scenes: a UNet of one step. scenes-transformer: a diffusion transformer.",
                )
            ],
            outputs=[
                io.Model.Output(display_name="model"),
                io.Clip.Output(display_name="clip"),
                io.Vae.Output(display_name="vae"),
            ],
        )

    @classmethod
    def execute(cls, model: str = BUNDLED[0]) -> io.NodeOutput:
        from ..scenes.loading import load_scenes

        return io.NodeOutput(*load_scenes(model))


class OneStep(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="LineasOneStep",
            display_name="LinEAS One Step",
            category=CATEGORY,
            description="Settings under which a one-step model draws as it was made to: the timestep of its "
            "single step, and the scale of the noise there. For SamplerCustom with euler at cfg 1; Train "
            "Steering takes them over from the model.",
            **found_by("turbo", "dmd2", "lightning", "hyper", "timestep", "single step"),
            inputs=[
                io.Model.Input("model", tooltip="A model that is made to draw in one step."),
                io.Combo.Input(
                    "setting",
                    options=list(SETTINGS),
                    default=next(iter(SETTINGS)),
                    tooltip=" ".join(f"{name}: {each.help}." for name, each in SETTINGS.items()),
                ),
                io.Int.Input(
                    "timestep",
                    default=999,
                    min=0,
                    max=999,
                    tooltip="The timestep for own timestep; 999 is full noise.",
                ),
            ],
            outputs=[
                io.Model.Output(display_name="model"),
                io.Sigmas.Output(display_name="sigmas"),
            ],
        )

    @classmethod
    def execute(cls, model: Any, setting: str, timestep: int) -> io.NodeOutput:
        return io.NodeOutput(*one_step(model, setting, timestep))
