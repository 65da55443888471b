"""What a steering says of itself, in lines of text."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from lineas.errors import plain
from lineas.maps.base import Map

if TYPE_CHECKING:
    from lineas.steering.steering import Steering


MOST = 2000
"""Signs of one line; what a stranger wrote into a file is shown in plain letters."""


SHOWN = 40
"""Signs of a fingerprint."""


def headline(steering: Steering) -> list[str]:
    made = steering.provenance
    units = sum(map.width for map in steering.maps.values())
    facts = {
        "sites": f"{len(steering.maps)}, {units} units, sparsity {steering.sparsity:.1%}",
        "made for": f"{made.base_model} {_short(made.fingerprint)}".strip(),
        "made by": f"lineas {made.library_version} {made.created}".rstrip() if made.library_version else "",
        "settings": ", ".join(f"{name} {value}" for name, value in made.settings.items()),
        "notes": "; ".join(made.notes.splitlines()),
    }
    lines = [f"  {name}: {plain(fact, MOST)}" for name, fact in facts.items() if fact]
    return [f"Steering {plain(made.method, 60)}".rstrip(), *lines]


def _short(fingerprint: str) -> str:
    return fingerprint if len(fingerprint) <= SHOWN else f"{fingerprint[:SHOWN]}…"


def table(steering: Steering) -> list[str]:
    """One line per group of sites; a group is the site names with their numbers left out."""
    groups: dict[str, list[Map]] = {}
    for site, map in steering.maps.items():
        groups.setdefault(re.sub(r"\d+", "*", str(site)), []).append(map)
    place = max((len(name) for name in groups), default=0)
    lines = [f"  {'where':{place}}  sites   units  steered  mean |ω − 1|  mean |b|"]
    for name, maps in groups.items():
        units = sum(map.width for map in maps)
        steered = sum(int(map.support.sum()) for map in maps) / units
        size = "  ".join((f"{_mean_size(maps, 'deviation'):>12}", f"{_mean_size(maps, 'shift'):>8}"))
        lines.append(f"  {name:{place}}  {len(maps):5}  {units:6}  {steered:7.1%}  {size}")
    return lines


def _mean_size(maps: Sequence[Map], tensor: str) -> str:
    values = [map.tensors()[tensor].abs().float().flatten() for map in maps if tensor in map.tensors()]
    return f"{torch.cat(values).mean():.3g}" if values else "–"
