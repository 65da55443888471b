"""Prompt sets of the bundled domain: with a concept, without it, and about anything else."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from lineas.errors import PromptError
from lineas.scenes.detector import MANY, ONE
from lineas.scenes.grammar import (
    COLOURLESS_STYLES,
    Scene,
    prompt,
    random_scene,
    replaced_concept,
    with_concept,
    without_concept,
)


@dataclass(frozen=True)
class ConceptSets:
    """Prompts for one concept. No prompt is in two sets, but that twins of two prompts may be the same.

    source: prompts that name the concept. target: the same scene without it, prompt i beside source prompt i;
    another object stands in the place of an object, so that the scene stays as full. preserve: other scenes
    without it, which must not change. held_out_with, held_out_target, held_out_without: the same for
    measuring, never seen in training. held_out_twins: those with it, the concept left out or exchanged.
    """

    source: tuple[str, ...]
    target: tuple[str, ...]
    preserve: tuple[str, ...]
    held_out_with: tuple[str, ...]
    held_out_target: tuple[str, ...]
    held_out_twins: tuple[str, ...]
    held_out_without: tuple[str, ...]


def concept_sets(
    kind: str,
    name: str,
    count: int = 32,
    seed: int = 0,
    held_out: int = 64,
    to: str | None = None,
    appended: bool = False,
) -> ConceptSets:
    """Prompt sets for one concept of the grammar, the same ones for the same seed.

    kind: object, colour, place, time, weather or style. name: of that kind, such as "clock" or "night".
    count: prompts in each of source, target and preserve, at least 2. held_out: in each of the three held-out
    sets, 0 or more. seed: which scenes, 0 or more. to: another concept of the kind, which takes the place of
    the first in the target prompts and the twins. appended: prompts name the concept behind all else.
    Raises `PromptError` when the grammar has no such concept, or for a set that would be too small.
    """
    if count < 2:
        raise PromptError(f"Got count={count}, expected at least 2 prompts per set; 16 to 64 work well.")
    for each in (name, to):
        _check(kind, each)
    if name == to:
        raise PromptError(f"{name!r} is to be swapped for itself. Name two concepts.")
    rng = np.random.default_rng([seed, *f"{kind}:{name}".encode()])
    taken: set[str] = set()

    def new(text: str) -> bool:
        is_new = text not in taken
        taken.add(text)
        return is_new

    def pairs(number: int) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
        chosen: list[tuple[str, str, str]] = []
        while len(chosen) < number:
            scene = with_concept(_without(_suitable(kind, rng), kind, to, rng), kind, name, rng)
            if appended:
                scene = replace(scene, objects=tuple(sorted(scene.objects, key=lambda o: o[0] == name)))
            left_out = replaced_concept(scene, kind, name, to)
            as_full = to is None and not appended
            target = without_concept(scene, kind, name, rng) if as_full else left_out
            wording, last = int(rng.integers(2**31)), kind if appended else None
            texts = (prompt(each, np.random.default_rng(wording), last) for each in (scene, target, left_out))
            with_it, without, twin = texts
            if without not in taken and new(with_it):
                chosen.append((with_it, without, twin))
        taken.update(without for _, without, _ in chosen)
        first, second, third = zip(*chosen, strict=True) if chosen else ((), (), ())
        return first, second, third

    def others(number: int) -> tuple[str, ...]:
        chosen: list[str] = []
        while len(chosen) < number:
            scene = _without(without_concept(_suitable(kind, rng), kind, name, rng), kind, to, rng)
            if new(text := prompt(scene, rng)):
                chosen.append(text)
        return tuple(chosen)

    source, target, _ = pairs(count)
    preserve = others(count)
    return ConceptSets(source, target, preserve, *pairs(held_out), others(held_out))


def _check(kind: str, name: str | None) -> None:
    known = MANY | ONE
    if name is not None and name not in known.get(kind, ()):
        choice = ", ".join(f"{k}:{n}" for k, names in known.items() for n in names)
        raise PromptError(f"The bundled model knows no {kind!r} {name!r}. It knows {choice}.")


def _without(scene: Scene, kind: str, name: str | None, rng: np.random.Generator) -> Scene:
    return scene if name is None else without_concept(scene, kind, name, rng)


def _suitable(kind: str, rng: np.random.Generator) -> Scene:
    """A random scene in which a concept of this kind can be seen."""
    while True:
        scene = random_scene(rng)
        if scene.objects and not (kind == "colour" and scene.style in COLOURLESS_STYLES):
            return scene
