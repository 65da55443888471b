"""Prompt sets of a concept, as texts with one prompt per line."""

from __future__ import annotations

import re
from dataclasses import dataclass

from lineas.errors import ConfigError, PromptError
from lineas.prompts.concepts import KINDS, concept_prompts, directed
from lineas.prompts.files import parse_prompts

__all__ = ["BANKS", "DIRECTIONS", "KINDS", "ConceptTexts", "concept_texts", "prompt_lines"]

DIRECTIONS = ("remove", "add")
EVERYDAY, SCENES = "everyday captions", "scenes model"
BANKS = (EVERYDAY, SCENES)


@dataclass(frozen=True)
class ConceptTexts:
    """Prompts to steer away from, towards and past, one per line each, and a file name for the steering."""

    source: str
    target: str
    preserve: str
    name: str


def concept_texts(
    concept: str, kind: str, direction: str, bank: str, count: int, seed: int, template: str = ""
) -> ConceptTexts:
    """The three sets of a concept. Raises `PromptError` and `ConfigError` as the banks do."""
    make = _of_scenes if bank == SCENES else _of_captions
    source, target, kept = directed(*make(concept, kind, count, seed, template), add=direction == "add")
    name = re.sub(r"\W+", "-", f"{direction} {concept}").strip("-")
    return ConceptTexts("\n".join(source), "\n".join(target), "\n".join(kept), name)


def prompt_lines(group: str, text: str, needed: int = 2) -> list[str]:
    """The prompts of a text, one per line without blank lines and comments.

    Raises `PromptError` when there are fewer than `needed`.
    """
    prompts = list(parse_prompts(text or ""))
    if len(prompts) < needed:
        raise PromptError(
            f"The {group} list holds {len(prompts)} prompts, expected at least {needed}, one per line. "
            "32 work well; LinEAS Concept Prompts writes them."
        )
    return prompts


Sets = tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]


def _of_captions(concept: str, kind: str, count: int, seed: int, template: str) -> Sets:
    sets = concept_prompts(concept, kind, count=count, seed=seed, template=template.strip() or None)
    return sets.source, sets.target, sets.preserve


def _of_scenes(concept: str, kind: str, count: int, seed: int, template: str) -> Sets:
    from lineas.scenes.concepts import concept_sets
    from lineas.scenes.naming import named_concept

    if template.strip():
        raise ConfigError("The scenes bank knows few words, so it takes no template. Leave it empty.")
    sets = concept_sets(*named_concept(concept), count=count, seed=seed)
    return sets.source, sets.target, sets.preserve
