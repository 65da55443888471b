"""What training lowers: the 1-D Wasserstein cost of the source rows, and the pull on the preserve rows."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from lineas.errors import PromptError
from lineas.fitting.micro_batches import MicroBatches, joined
from lineas.fitting.problem import Group, Problem, Rows
from lineas.fitting.progress import fitting_mode
from lineas.maths.pooling import Pooling, parse_pooling
from lineas.maths.transport import cost_per_unit, paired_cost_per_unit, same_rows, spread
from lineas.methods.lineas.config import TrainConfig
from lineas.steering.site import Site
from lineas.steering.steering import Steering


@dataclass
class Report:
    """Figures of one evaluation: the paper's cost (in all and per site), the objective and its preserve part.

    bad_site: the first site in execution order whose figure is not finite.
    """

    cost: float = float("nan")
    objective: float = float("nan")
    preserve: float = 0.0
    site_costs: dict[Site, float] = field(default_factory=dict)
    bad_site: Site | None = None

    def plain(self) -> dict[str, Any]:
        """The figures without their sites, which the order of the costs implies."""
        figures = {"cost": self.cost, "objective": self.objective, "preserve": self.preserve}
        return figures | {"site_costs": list(self.site_costs.values())}

    @classmethod
    def of(cls, plain: Mapping[str, Any], sites: Sequence[Site]) -> Report:
        """The report of `plain` figures at these sites."""
        return cls(**{**plain, "site_costs": dict(zip(sites, plain["site_costs"], strict=False))})


class Objective:
    """The objective as a function of rows, which may be leaves: it never runs the model.

    source, target, preserve: rows of the untouched model; a site that fires several times in a run (one per
    denoising step) has its costs averaged. Source: LinEAS section 3, equation of the cost; the preserve
    term is the mean square of preserve rows against what they were, in the same units.

    counted: the sites whose cost counts, None for all: where rows of source and target make pairs.
    start: the report of the untouched model. last: the report of the newest evaluation.
    """

    def __init__(
        self,
        config: TrainConfig,
        source: Rows,
        target: Rows,
        preserve: Rows | None,
        counted: Collection[Site] | None = None,
    ) -> None:
        self.source, self.target, self.kept = source, target, preserve
        self.counted = set(source if counted is None else counted)
        self.per_unit = paired_cost_per_unit if config.coupling == "pair" else cost_per_unit
        self.weight = config.preserve_weight
        self.spreads = {
            site: [
                spread(u, v) if config.standardise else torch.ones_like(u[0])
                for u, v in zip(source[site], target[site], strict=True)
            ]
            for site in source
        }
        with torch.no_grad():
            self.cost(source)
        self.start = self.last
        if self.start.bad_site is None:
            check_difference(source, target)

    @property
    def preserves(self) -> bool:
        """True when there are preserve rows and they count."""
        return self.kept is not None and self.weight > 0

    def cost(self, rows: Rows) -> Tensor:
        """[] the (standardised) cost of all source rows; also starts a new report."""
        objective, paper = {}, {}
        for site, firings in rows.items():
            if site not in self.counted:
                continue
            per_unit = [self.per_unit(u, v) for u, v in zip(firings, self.target[site], strict=True)]
            units = zip(per_unit, self.spreads[site], strict=True)
            objective[site] = torch.stack([(cost / unit.square()).sum() for cost, unit in units]).mean()
            paper[site] = torch.stack([cost.detach().sum() for cost in per_unit]).mean()
        total, costs = _sum(objective), _numbers(paper)
        bad = _first_not_finite(costs)
        self.last = Report(
            math.fsum(costs.values()) if bad is None else math.nan, total.item(), 0.0, costs, bad
        )
        return total

    def preserve(self, rows: Rows, indices: Sequence[int]) -> Tensor:
        """[] the share of these prompts in the weighted preserve term; added to the report."""
        assert self.kept is not None
        parts = {}
        for site, firings in rows.items():
            each = zip(firings, self.kept[site], self.spreads[site], strict=True)
            drifts = [_drift(row, kept, unit, indices) for row, kept, unit in each]
            parts[site] = self.weight * torch.stack(drifts).mean()
        value, numbers = _sum(parts), _numbers({site: part.detach() for site, part in parts.items()})
        self.last.preserve += value.item()
        self.last.objective += value.item()
        self.last.bad_site = self.last.bad_site or _first_not_finite(numbers)
        return value


def poolings(config: TrainConfig, is_text: bool) -> dict[Group, Pooling]:
    """How activations of source (and target) and of preserve prompts become rows."""
    return {
        "source": parse_pooling(config.rows, config.seed),
        "preserve": parse_pooling(config.preserve_pooling(is_text), config.seed),
    }


def captured_objective(
    config: TrainConfig, batches: MicroBatches, pooling: Mapping[Group, Pooling]
) -> Objective:
    """The objective of a problem, from the rows of its untouched model."""
    problem = batches.problem
    target, source = (batches.rows(group, pooling["source"]) for group in ("target", "source"))
    kept = bool(problem.sizes.get("preserve"))
    preserve = batches.rows("preserve", pooling["preserve"]) if kept else None
    counted = problem.paired_sites() if config.coupling == "pair" else None
    return Objective(config, source, target, preserve, counted)


def check_difference(source: Rows, target: Rows) -> None:
    """`PromptError` where source and target rows are the same at every site, in any order, up to rounding."""
    pairs = ((u, v) for site in source for u, v in zip(source[site], target[site], strict=True))
    if all(same_rows(u, v.to(u.device)) for u, v in pairs):
        raise no_difference(len(source))


def no_difference(sites: int) -> PromptError:
    """What is raised where nothing could be learned."""
    return PromptError(
        f"The prompts make no difference at these {sites} sites: the source rows equal the target rows, "
        "so the steering would change nothing. Give other prompts, sites that the prompt reaches, or a "
        "recipe under which the model sees it."
    )


def _drift(rows: Tensor, kept: Tensor, unit: Tensor, indices: Sequence[int]) -> Tensor:
    """[] what these prompts add to the mean square of all preserve rows against what they were."""
    per_prompt = len(rows) // len(indices)
    was = kept.unflatten(0, (-1, per_prompt))[list(indices)].flatten(0, 1)
    return ((rows - was) / unit).square().sum() / len(kept)


def _sum(parts: Mapping[Site, Tensor]) -> Tensor:
    """[] the sum over sites, which may lie on different devices."""
    values = list(parts.values())
    return torch.stack([value.to(values[0].device) for value in values]).sum()


def _numbers(parts: Mapping[Site, Tensor]) -> dict[Site, float]:
    values = list(parts.values())
    numbers = torch.stack([value.to(values[0].device) for value in values]).tolist()
    return dict(zip(parts, numbers, strict=True))


def _first_not_finite(numbers: Mapping[Site, float]) -> Site | None:
    return next((site for site, value in numbers.items() if not math.isfinite(value)), None)


def transport_cost(problem: Problem, steering: Steering | None = None, micro_batch: int = 0) -> float:
    """Σ W2² over sites and units between source rows, steered, and target rows of the untouched model.

    steering: None for the cost of leaving the model alone. Rows are means; a site that fires several times
    has its costs averaged, as in `Objective`. In squared activation units. Source: LinEAS section 3.
    """
    maps = {} if steering is None else dict(steering.maps)
    batches = MicroBatches(problem, micro_batch)

    def run(part: list[int]) -> Rows:
        def transform(site: Site, z: Tensor) -> Tensor:
            if site not in maps:
                return z
            return problem.steered(maps[site].to(device=z.device), site, z, "source", part)

        return problem.rows("source", part, transform)

    with fitting_mode(problem, gradients=False):
        target = batches.rows("target")
        source = batches.fitting(lambda: joined([run(part) for part in batches.of("source")]))
        costs = [
            torch.stack([cost_per_unit(u, v).sum() for u, v in zip(source[site], target[site], strict=True)])
            for site in source
        ]
    return math.fsum(cost.mean().item() for cost in costs)
