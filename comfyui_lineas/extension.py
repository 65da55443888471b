"""The extension that ComfyUI loads: all nodes, and the folders that they read and write."""

from __future__ import annotations

from comfy_api.v0_0_2 import ComfyExtension, io

from .files import register_folders


class LineasExtension(ComfyExtension):
    """The nodes of this pack."""

    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        register_folders()
        from .nodes import algebra, apply, concept, concept_prompts, files, info, models, sweep, train

        return [
            concept.SteerConcept,
            models.LoadScenesModel,
            concept_prompts.ConceptPrompts,
            train.TrainSteering,
            apply.ApplySteering,
            apply.LoadAndApplySteering,
            files.LoadSteering,
            files.SaveSteering,
            files.ExportLora,
            algebra.InvertSteering,
            algebra.ComposeSteerings,
            algebra.RestrictSteering,
            info.SteeringInfo,
            sweep.StrengthSweep,
            sweep.SweepGrid,
            models.OneStep,
        ]
