"""Concept Prompts: from one concept to the prompt sets that training takes."""

from __future__ import annotations

from comfy_api.v0_0_2 import io

from lineas.prompts.concepts import KINDS

from ..concept import BANKS, DIRECTIONS, concept_texts
from .types import CATEGORY, found_by, seed_input


class ConceptPrompts(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="LineasConceptPrompts",
            display_name="LinEAS Concept Prompts",
            category=CATEGORY,
            description="Prompt sets for one concept: prompts to steer away from, prompts to steer towards, "
            "and others that are to stay as they are. They may be edited before training.",
            **found_by("concept", "remove", "erase", "add", "prompt list", "captions"),
            inputs=[
                io.String.Input(
                    "concept",
                    default="at night",
                    tooltip="What to remove or add, such as pink elephant, ukiyo-e, at night or fisheye.",
                ),
                io.Combo.Input(
                    "kind",
                    options=list(KINDS),
                    default="attribute",
                    tooltip="How the concept is woven into captions. The scenes bank finds it out by itself.",
                ),
                io.Combo.Input(
                    "direction",
                    options=list(DIRECTIONS),
                    default="remove",
                    tooltip="remove: steer from prompts with the concept to prompts without it. add: the "
                    "other way round, with no prompts to preserve.",
                ),
                io.Combo.Input(
                    "bank",
                    options=list(BANKS),
                    default="everyday captions",
                    tooltip="Where captions come from: everyday captions for any model, or the few words "
                    "that the bundled scenes model knows.",
                ),
                io.Int.Input(
                    "count",
                    default=32,
                    min=2,
                    max=100,
                    tooltip="Prompts in each set. 16 to 64 work well, more cost time.",
                ),
                seed_input("Which captions are chosen."),
                io.String.Input(
                    "template",
                    default="",
                    optional=True,
                    tooltip="Own words around the concept, {}, such as covered in {}. Empty takes the "
                    "templates of the kind.",
                ),
            ],
            outputs=[
                io.String.Output(display_name="source", tooltip="Prompts to steer away from."),
                io.String.Output(display_name="target", tooltip="Prompts to steer towards."),
                io.String.Output(display_name="preserve", tooltip="Prompts that are to stay."),
                io.String.Output(display_name="name", tooltip="A file name, such as remove-night."),
            ],
        )

    @classmethod
    def execute(
        cls, concept: str, kind: str, direction: str, bank: str, count: int, seed: int, template: str = ""
    ) -> io.NodeOutput:
        texts = concept_texts(concept, kind, direction, bank, count, seed, template)
        return io.NodeOutput(texts.source, texts.target, texts.preserve, texts.name)
