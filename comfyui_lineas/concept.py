"""Prompt sets of a concept, as texts with one prompt per line."""

from __future__ import annotations

from dataclasses import dataclass

from lineas.errors import PromptError
from lineas.prompts.banks import BANKS, prompt_sets
from lineas.prompts.concepts import KINDS
from lineas.prompts.files import parse_prompts

__all__ = ["BANKS", "DIRECTIONS", "KINDS", "ConceptTexts", "concept_texts", "prompt_lines"]

DIRECTIONS = ("remove", "add")


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
    """The sets of `prompt_sets` as texts, with its errors; an empty template is none."""
    made = prompt_sets(
        concept,
        kind,
        intent=direction,
        bank=bank,
        count=count,
        seed=seed,
        template=template.strip() or None,
    )
    texts = ("\n".join(prompts) for prompts in (made.source, made.target, made.preserve))
    return ConceptTexts(*texts, made.file_name)


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
