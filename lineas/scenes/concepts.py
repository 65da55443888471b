"""Prompt sets of the bundled domain: with a concept, without it, and about anything else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from lineas.errors import PromptError
from lineas.scenes.detector import MANY, ONE
from lineas.scenes.grammar import (
    COLOURLESS_STYLES,
    Scene,
    prompt,
    random_scene,
    with_concept,
    without_concept,
)


@dataclass(frozen=True)
class ConceptSets:
    """Prompts for one concept; all sets are disjoint.

    source: prompts that name the concept. target: scenes without it. preserve: other scenes without it, which
    must not change. held_out_with, held_out_without: for measuring, never seen in training.
    """

    source: tuple[str, ...]
    target: tuple[str, ...]
    preserve: tuple[str, ...]
    held_out_with: tuple[str, ...]
    held_out_without: tuple[str, ...]


def concept_sets(kind: str, name: str, count: int = 32, seed: int = 0, held_out: int = 64) -> ConceptSets:
    """Prompt sets for one concept of the grammar, the same ones for the same seed.

    kind: object, colour, place, time, weather or style. name: of that kind, such as "clock" or "night".
    count: prompts in each of source, target and preserve, at least 2. held_out: in each of the two held-out
    sets, 0 or more. seed: which scenes, 0 or more.
    Raises `PromptError` when the grammar has no such concept, or for a set that would be too small.
    """
    if count < 2:
        raise PromptError(f"Got count={count}, expected at least 2 prompts per set; 16 to 64 work well.")
    known = MANY | ONE
    if name not in known.get(kind, ()):
        choice = ", ".join(f"{k}:{n}" for k, names in known.items() for n in names)
        raise PromptError(f"The bundled model knows no {kind!r} {name!r}. It knows {choice}.")
    rng = np.random.default_rng([seed, *f"{kind}:{name}".encode()])
    taken: set[str] = set()

    def draw(number: int, change: Callable[[Scene], Scene]) -> tuple[str, ...]:
        chosen: list[str] = []
        while len(chosen) < number:
            text = prompt(change(_suitable(kind, rng)), rng)
            if text not in taken:
                taken.add(text)
                chosen.append(text)
        return tuple(chosen)

    def added(scene: Scene) -> Scene:
        return with_concept(scene, kind, name, rng)

    def removed(scene: Scene) -> Scene:
        return without_concept(scene, kind, name, rng)

    def swapped(scene: Scene) -> Scene:
        return removed(added(scene))

    return ConceptSets(
        source=draw(count, added),
        target=draw(count, swapped),
        preserve=draw(count, removed),
        held_out_with=draw(held_out, added),
        held_out_without=draw(held_out, removed),
    )


def _suitable(kind: str, rng: np.random.Generator) -> Scene:
    """A random scene in which a concept of this kind can be seen."""
    while True:
        scene = random_scene(rng)
        if scene.objects and not (kind == "colour" and scene.style in COLOURLESS_STYLES):
            return scene
