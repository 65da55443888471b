"""Slots: positions behind a prompt that virtual tokens take, each steering its own in a text encoder.

They are counted for a text encoder as a whole: two steerings may act at different sites of it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from lineas.maps.base import Map
from lineas.steering.site import Site


def slots_of(maps: Iterable[tuple[Site, Map]]) -> Counter[str]:
    """How many positions maps at these sites take, by the name of the text encoder."""
    taken: Counter[str] = Counter()
    for site, map in maps:
        taken[site.component] = max(taken[site.component], map.slots)
    return taken


def behind(maps: Mapping[Site, Map], taken: Mapping[str, int]) -> dict[Site, Map]:
    """The maps with their virtual tokens behind those that have taken positions already."""
    return {site: map.behind(taken.get(site.component, 0)) for site, map in maps.items()}
