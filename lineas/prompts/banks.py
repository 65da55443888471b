"""From a concept to the prompts of a fit, from a bank of captions: the one answer for every face."""

from __future__ import annotations

import re
from dataclasses import dataclass

from lineas.errors import ConfigError, PromptError
from lineas.prompts.concepts import KINDS, Prompts, concept_prompts, directed

EVERYDAY, SCENES = "everyday captions", "scenes model"
BANKS = (EVERYDAY, SCENES)
"""Captions for any model, and scenes in the few words of the bundled one."""


@dataclass(frozen=True)
class PromptSets:
    """Prompts to steer from, towards, and to leave as they are (may be none)."""

    source: Prompts
    target: Prompts
    preserve: Prompts
    label: str = ""
    """What the steering does, such as "remove pink elephant"; empty where prompts were given as they are."""

    @property
    def file_name(self) -> str:
        """The label as the name of a file without its ending, such as "remove-pink-elephant"."""
        return re.sub(r"\W+", "-", self.label).strip("-") or "steering"


def prompt_sets(
    concept: str,
    kind: str | None = None,
    *,
    add: bool = False,
    bank: str = EVERYDAY,
    count: int = 32,
    seed: int = 0,
    template: str | None = None,
) -> PromptSets:
    """The prompts of a fit that removes a concept, or adds it; `count` (at least 2) in each set that is used.

    kind: how the concept is woven into captions, None is "object" (see `concept_prompts`). The scenes bank
    finds it out, and takes its own kinds besides (see `named_concept`). seed: which captions, 0 or more.
    template: own words around the concept, for everyday captions.
    Raises `PromptError` for concepts, kinds and numbers that a bank cannot serve, `ConfigError` for an
    unknown bank and for a template with the scenes bank.
    """
    if bank not in BANKS:
        raise ConfigError(f"Unknown bank {bank!r}, expected one of {', '.join(BANKS)}.")
    make = _of_scenes if bank == SCENES else _of_captions
    label = f"{'add' if add else 'remove'} {' '.join(concept.split())}"
    return PromptSets(*directed(*make(concept, kind, count, seed, template), add=add), label)


Sets = tuple[Prompts, Prompts, Prompts]


def _of_captions(concept: str, kind: str | None, count: int, seed: int, template: str | None) -> Sets:
    sets = concept_prompts(concept, kind or "object", count=count, seed=seed, template=template)
    return sets.source, sets.target, sets.preserve


def _of_scenes(concept: str, kind: str | None, count: int, seed: int, template: str | None) -> Sets:
    from lineas.scenes.concepts import concept_sets
    from lineas.scenes.naming import KNOWN, named_concept

    if template:
        raise ConfigError(f"The {SCENES} knows few words, so it takes no template. Leave it out.")
    if not concept.strip():
        raise PromptError('The concept is empty. Name what to remove or add, such as "at night".')
    if kind not in (None, *KINDS, *KNOWN):
        kinds = ", ".join(dict.fromkeys((*KINDS, *KNOWN)))
        raise PromptError(f"Unknown kind of concept {kind!r}. Expected one of: {kinds}.")
    sets = concept_sets(*named_concept(concept, kind), count=count, seed=seed)
    return sets.source, sets.target, sets.preserve
