"""LinEAS trained as its authors did for images: AdamW on batches drawn anew at every step."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

import torch

from lineas.errors import NonFiniteError
from lineas.fitting.micro_batches import MicroBatches
from lineas.fitting.problem import Group, Problem, Rows
from lineas.fitting.progress import Callback, Steps, fitting_mode
from lineas.maths.proximal import cosine_learning_rate
from lineas.methods.lineas.config import TrainConfig
from lineas.methods.lineas.gradients import FullGradient
from lineas.methods.lineas.objective import captured_objective, poolings
from lineas.methods.lineas.parameter_set import ParameterSet
from lineas.methods.lineas.starting import starting_parameters
from lineas.steering.steering import Steering

STEPS, BATCH, RATE = 1000, 4, 1e-4
"""Of arXiv 2503.10679 for DMD2."""


class DrawnBatches(MicroBatches):
    """Micro-batches of a problem whose source prompts are, once some are `drawn`, those alone."""

    drawn: Sequence[int] = ()

    def of(self, group: Group) -> list[list[int]]:
        return [list(self.drawn)] if group == "source" and self.drawn else super().of(group)


def fit_as_published(
    problem: Problem,
    steps: int = STEPS,
    batch: int = BATCH,
    rate: float = RATE,
    seed: int = 0,
    progress: Callback | None = None,
) -> Steering:
    """Affine maps at all sites, from `batch` source and as many target prompts at each step.

    The cost of a step is Σ W2² between those of the source rows, steered, and those of the target rows, on
    raw activations; to AdamW its scale is nothing. Its rate falls to 0 along a cosine. No penalty, and no
    prompts to preserve. Raises `NonFiniteError` when the cost or its gradient is not finite.
    """
    config = TrainConfig.preset("fast", steps=steps, learning_rate=rate, standardise=False, seed=seed)
    pooling, random = poolings(config, problem.is_text), Random(seed)
    batches = DrawnBatches(problem)
    with fitting_mode(problem, gradients=True):
        batches.fitting(problem.order_sites)
        objective = captured_objective(config, batches, pooling)
        parameters = ParameterSet(starting_parameters(problem.sites, batches, config, objective))
        gradient = FullGradient(objective, parameters, batches, pooling)
        optimizer, targets = torch.optim.AdamW(parameters.all(), lr=rate), objective.target

        def steering() -> Steering:
            sizes = {"steps": steps, "batch": batch, "seed": seed}
            settings = {**sizes, "optimizer": "adamw", "learning_rate": rate}
            maps = {site: map.to("cpu", torch.float32) for site, map in parameters.maps().items()}
            return Steering(maps, problem.provenance("lineas", preset="published", **settings))

        told = Steps(steps, progress, steering)
        while told.left:
            batches.drawn = _drawn(random, problem.sizes["source"], batch)
            objective.target = _rows(targets, _drawn(random, problem.sizes["target"], batch))
            if trouble := gradient():
                raise NonFiniteError(f"{trouble[0]} is not finite at {trouble[1]}, step {told.count + 1}.")
            for group in optimizer.param_groups:
                group["lr"] = cosine_learning_rate(told.count, steps, rate)
            optimizer.step()
            told.done(cost=objective.last.cost, objective=objective.last.objective)
        return steering()


def _drawn(random: Random, size: int, batch: int) -> list[int]:
    return sorted(random.sample(range(size), min(batch, size)))


def _rows(rows: Rows, chosen: Sequence[int]) -> Rows:
    return {site: [each[list(chosen)] for each in firings] for site, firings in rows.items()}
