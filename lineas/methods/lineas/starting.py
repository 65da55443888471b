"""Where training starts: what makes the parameters of every site free of the model's scale."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from lineas.fitting.micro_batches import MicroBatches
from lineas.maps.base import family
from lineas.maps.parameters import Parameters, Start
from lineas.maths.pooling import BehindPooling, TokenPooling
from lineas.methods.lineas.config import TrainConfig
from lineas.methods.lineas.objective import Objective
from lineas.steering.site import Site


def starting_parameters(
    sites: Iterable[Site], batches: MicroBatches, config: TrainConfig, objective: Objective
) -> dict[Site, Parameters]:
    """Parameters of the maps at these sites, from the rows of the untouched model."""
    kind = family(config.map).parameters
    assert kind is not None  # the options take no other family
    pooling = TokenPooling(kind.positions, config.seed) if kind.positions else None
    source = batches.rows("source", pooling) if pooling else {}
    target = batches.rows("target", pooling) if pooling else {}
    behind = batches.rows("source", BehindPooling(kind.slots)) if kind.slots else {}
    return {
        site: kind(
            Start(
                *_scale(site, config, objective),
                _positions(source.get(site), kind.positions),
                _positions(target.get(site), kind.positions),
                _positions(behind.get(site), kind.slots),
            )
        )
        for site in sites
    }


def _scale(site: Site, config: TrainConfig, objective: Objective) -> tuple[Tensor, Tensor]:
    """[d] spread and [d] center of a site's source rows."""
    if not config.standardise:
        ones = torch.ones_like(objective.spreads[site][0])
        return ones, torch.zeros_like(ones)
    return torch.stack(objective.spreads[site]).mean(0), torch.cat(objective.source[site]).mean(0)


def _positions(firings: list[Tensor] | None, count: int) -> Tensor | None:
    """[n · count, d] rows of each firing -> [firings · n, count, d]."""
    return None if firings is None else torch.cat(firings).unflatten(0, (-1, count))
