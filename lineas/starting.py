"""Where training starts: the statistics of every site that make its parameters free of the model's scale."""

from __future__ import annotations

import torch
from torch import Tensor

from lineas.config import TrainConfig
from lineas.micro_batches import MicroBatches
from lineas.objective import Objective
from lineas.parameters import Statistics
from lineas.pooling import TokenPooling
from lineas.steering import Site
from lineas.transport import spread

GATE_POSITIONS = 64
"""Positions per prompt that a gate is started from."""


def starting_statistics(
    batches: MicroBatches, config: TrainConfig, objective: Objective
) -> dict[Site, Statistics]:
    """Statistics of every site, from the rows of the untouched model."""
    plain = {site: _statistics(site, config, objective) for site in batches.problem.sites}
    if config.map == "affine":
        return plain
    pooling = TokenPooling(GATE_POSITIONS, config.seed)
    source, target = batches.rows("source", pooling), batches.rows("target", pooling)
    prompts = batches.problem.sizes["source"]
    return {site: _with_gate(each, prompts, source[site], target[site]) for site, each in plain.items()}


def _statistics(site: Site, config: TrainConfig, objective: Objective) -> Statistics:
    if not config.standardise:
        ones = torch.ones_like(objective.spreads[site][0])
        return Statistics(spread=ones, center=torch.zeros_like(ones))
    spreads, rows = objective.spreads[site], objective.source[site]
    return Statistics(spread=torch.stack(spreads).mean(0), center=torch.cat(rows).mean(0))


def _with_gate(plain: Statistics, prompts: int, source: list[Tensor], target: list[Tensor]) -> Statistics:
    """The gate starts open where positions of source prompts are most unlike all target positions.

    A concept fills few positions of a prompt, so its direction is found in turns: the position of each prompt
    that lies furthest along the direction so far is taken for the concept, and gives the next direction.
    """
    u, v = torch.cat(source), torch.cat(target)
    center, unit = v.mean(0), spread(u, v)
    away = ((u - center) / unit).unflatten(0, (prompts * len(source), -1))
    direction = away.mean((0, 1))
    for _ in range(5):
        furthest = (away @ direction).argmax(1)
        direction = away[torch.arange(len(away), device=away.device), furthest].mean(0)
    found, usual = (away @ direction).amax(1).mean(), ((v - center) / unit) @ direction
    threshold = (found + torch.quantile(usual, 0.95)) / 2
    # Where the concept hardly stands out, a gate as sharp as the gap would be a step that cannot learn.
    scale = 1 / torch.maximum(found - threshold, usual.std(correction=0) / 2).clamp_min(1e-6)
    return Statistics(plain.spread, plain.center, direction * scale, -threshold * scale, center, unit)
