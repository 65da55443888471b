"""The transport cost that a steering leaves, the one figure that all methods can be compared by."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from lineas.methods.steps import fitting_mode
from lineas.micro_batches import MicroBatches, joined
from lineas.problem import Problem
from lineas.steering import Site, Steering
from lineas.transport import cost_per_unit


def transport_cost(problem: Problem, steering: Steering | None = None, micro_batch: int = 0) -> float:
    """Σ W2² over sites and units between source rows, steered, and target rows of the untouched model.

    steering: None for the cost of leaving the model alone. Rows are means; a site that fires several times
    has its costs averaged, as in `Objective`. In squared activation units. Source: LinEAS section 3.
    """
    maps = {} if steering is None else dict(steering.maps)
    batches = MicroBatches(problem, micro_batch)

    def transform(site: Site, z: Tensor) -> Tensor:
        return maps[site].to(device=z.device)(z, 1.0, site.axis) if site in maps else z

    with fitting_mode(problem, gradients=False):
        target = batches.rows("target")
        source = batches.fitting(
            lambda: joined([problem.rows("source", part, transform) for part in batches.of("source")])
        )
        costs = [
            torch.stack([cost_per_unit(u, v).sum() for u, v in zip(source[site], target[site], strict=True)])
            for site in source
        ]
    return math.fsum(cost.mean().item() for cost in costs)
