"""Perturbed attention guidance: a part of the batch sees the prompt with some attention switched off."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from lineas.adapters.images.layout import PROMPTS, Firing, Layout, Run
from lineas.errors import MismatchError
from lineas.steering.site import Site

SCALE = "pag_scale"
"""The argument of diffusers' pipelines that switches it off at 0."""


def plain_layouts(
    layouts: Mapping[Site, Sequence[Layout | None]], base: Run, plain: Run
) -> dict[Site, list[Layout | None]]:
    """Layouts that keep, of the parts that see the prompts, the one that a run without perturbation has too.

    base: the run that the layouts were found in. plain: the same prompts and latents without perturbation.
    A part is the plain one where it is nearest over all sites of a call. Raises `MismatchError` where the two
    runs differ in more than their batch.
    """
    if len(base.firings) != len(plain.firings):
        raise MismatchError(
            "The model runs differently with and without perturbed attention, so the rows of the plain pass "
            f"cannot be told. Give {SCALE}=0 among the recipe's arguments."
        )
    apart: dict[Any, Tensor] = {}
    for old, new, layout in zip(base.firings, plain.firings, _in_order(layouts, base), strict=True):
        if layout is not None:
            found = _distances(old, new, layout)
            known = apart.get(old.call[:2], torch.zeros_like(found))
            apart[old.call[:2]] = torch.maximum(known, found)
    chosen: dict[Site, list[Layout | None]] = {site: [] for site in layouts}
    for firing, layout in zip(base.firings, _in_order(layouts, base), strict=True):
        if firing.site is not None:
            chosen[firing.site].append(layout and _nearest(layout, apart[firing.call[:2]]))
    return chosen


def _in_order(layouts: Mapping[Site, Sequence[Layout | None]], run: Run) -> Iterator[Layout | None]:
    """The layout of every firing of a run; None for whole components."""
    times: Counter[Site] = Counter()
    for firing in run.firings:
        if firing.site is None:
            yield None
            continue
        yield layouts[firing.site][times[firing.site]]
        times[firing.site] += 1


def _distances(old: Firing, new: Firing, layout: Layout) -> Tensor:
    """[halves] how far each part lies from the part of the other run that is nearest to it."""
    parts = old.rows.float().unflatten(0, (layout.halves, -1)).flatten(1)
    others = new.rows.float().unflatten(0, (-1, PROMPTS * layout.each)).flatten(1)
    if parts.shape[1] != others.shape[1]:
        return torch.zeros(layout.halves)
    return torch.cdist(parts, others).amin(1).cpu() / parts.norm(dim=1).clamp_min(1e-12).cpu()


def _nearest(layout: Layout, apart: Tensor) -> Layout:
    halves = sorted({row // layout.each for row in layout.own})
    if len(halves) < 2 or len(apart) != layout.halves:
        return layout
    best = min(halves, key=lambda half: float(apart[half]))
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
