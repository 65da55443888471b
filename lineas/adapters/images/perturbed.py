"""Perturbed attention guidance: a part of the batch sees the prompt with some attention switched off."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from lineas.adapters.images.calling import parameters_of
from lineas.adapters.images.layout import PROMPTS, Firing, Layout, Run
from lineas.architectures.recipe import Recipe
from lineas.errors import MismatchError
from lineas.steering.site import Site

SCALE = "pag_scale"
"""The argument of diffusers' pipelines that switches it off at 0."""


def is_perturbed(pipe: Any, recipe: Recipe) -> bool:
    """True where a pipeline runs with perturbed attention under a recipe."""
    usual = getattr(parameters_of(pipe).get(SCALE), "default", 0)
    return bool(recipe.arguments.get(SCALE, usual))


def plain_layouts(
    layouts: Mapping[Site, Sequence[Layout | None]], base: Run, plain: Run
) -> dict[Site, list[Layout | None]]:
    """Layouts that keep, of the rows that see the prompts, those that a run without perturbation has too.

    base: the run that the layouts were found in. plain: the same prompts and latents without perturbation.
    A part of the batch is the plain one where it is nearest over all sites of a call; a site that fires once
    for each part keeps the nearest firing. Raises `MismatchError` where a site fires less often in `base`.
    """
    known = _with_layouts(layouts, base)
    others = _by_call(plain)
    apart: dict[Any, Tensor] = {}
    kept: set[int] = set()
    for key, firings in _by_call(base).items():
        seen = [each for each in firings if known[id(each)] is not None]
        for other in others.get(key, []) if seen else []:
            found = [(_distances(each, other, known[id(each)]), each) for each in seen]
            parts, nearest = min(found, key=lambda pair: float(pair[0].min()))
            kept.add(id(nearest))
            place = (nearest.call[:2], len(parts))
            apart[place] = torch.maximum(parts, apart.get(place, torch.zeros_like(parts)))
        if seen and len(others.get(key, [])) > len(firings):
            raise MismatchError(
                f"{key[0]} runs more often without perturbed attention, so the rows of the plain pass cannot "
                f"be told. Give {SCALE}=0 among the recipe's arguments."
            )
    chosen: dict[Site, list[Layout | None]] = {site: [] for site in layouts}
    for firing in base.firings:
        layout = known.get(id(firing)) if id(firing) in kept else None
        if firing.site is not None:
            chosen[firing.site].append(layout and _nearest(layout, apart[firing.call[:2], layout.halves]))
    return chosen


def _with_layouts(layouts: Mapping[Site, Sequence[Layout | None]], run: Run) -> dict[int, Layout | None]:
    """The layout of every firing of a site, by the firing's identity."""
    times: Counter[Site] = Counter()
    found: dict[int, Layout | None] = {}
    for firing in run.firings:
        if firing.site is not None:
            found[id(firing)] = layouts[firing.site][times[firing.site]]
            times[firing.site] += 1
    return found


def _by_call(run: Run) -> dict[tuple[Site, Any], list[Firing]]:
    """Firings of every site in every call of its component."""
    found: dict[tuple[Site, Any], list[Firing]] = {}
    for firing in run.firings:
        if firing.site is not None:
            found.setdefault((firing.site, firing.call[:2]), []).append(firing)
    return found


def _distances(old: Firing, new: Firing, layout: Layout | None) -> Tensor:
    """[parts] how far each part of the batch that sees the prompts lies from the nearest of the other run;
    infinity for parts that do not."""
    assert layout is not None
    parts = old.rows.float().unflatten(0, (layout.halves, -1)).flatten(1).cpu()
    others = new.rows.float().unflatten(0, (-1, PROMPTS * layout.each)).flatten(1).cpu()
    apart = torch.full((layout.halves,), torch.inf)
    if parts.shape[1] != others.shape[1]:
        return apart
    for part in {row // layout.each for row in layout.own}:
        size = parts[part].norm().clamp_min(1e-12)
        apart[part] = torch.cdist(parts[part][None], others).min() / size
    return apart


def _nearest(layout: Layout, apart: Tensor) -> Layout:
    best = min(sorted({row // layout.each for row in layout.own}), key=lambda part: float(apart[part]))
    return replace(layout, own=tuple(row for row in layout.own if row // layout.each == best))


@contextmanager
def attention_kept(components: Mapping[str, nn.Module]) -> Iterator[None]:
    """Attention processors as they were when the block ends; a run that ends early leaves them exchanged."""
    modules = [module for part in components.values() for module in part.modules()]
    before = [(module, module.processor) for module in modules if hasattr(module, "processor")]
    try:
        yield
    finally:
        for module, processor in before:
            if module.processor is not processor:
                module.processor = processor
