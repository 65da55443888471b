"""Calibration: the strengths at which a steering is of use, found on prompts that it was not fitted to."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import torch
from torch import Tensor

from lineas.fitting.micro_batches import MicroBatches, joined
from lineas.fitting.problem import Group, Problem, Rows
from lineas.fitting.progress import fitting_mode
from lineas.maps.base import Map
from lineas.maths.pooling import parse_pooling
from lineas.maths.transport import coupling, spread
from lineas.methods.lineas.config import TrainConfig
from lineas.steering.provenance import CALIBRATED_BY, Setting
from lineas.steering.site import Site
from lineas.steering.steering import Steering

LONGEST = 3.0
"""The largest strength that is tried."""
AIM, MET, BEGUN = 0.95, 0.9, 0.6
"""Shares of the way to the target prompts: where strength 1 is put, what will do where no more is reached,
and where a steering begins to show."""
LOST = 0.2
"""A strength is of use until this share of how much nearer strength 1 comes to the target is lost again."""
STRETCH = 1.25
"""The step of the search while the aim is not met."""
GOING = 0.5
"""It ends where a step brings less than this share of what it would in proportion, or of what is missing."""
HALVINGS = 6
FINE = 0.05
"""Nearer to 1 than this a strength is 1."""
COST = "cost"
"""What a calibration goes by where nothing judges what the model makes."""
HELD_OUT_SEED = 1 << 16
"""Between the noise of a fit and that of its held-out prompts."""


@dataclass(frozen=True)
class Way:
    """How far a steering has come: `along` the way from source to target prompts, 1 there; and `off` it, the
    mean square distance from the target and how far preserve prompts have moved, 1 without a steering."""

    along: float
    off: float


class JudgedWay(Protocol):
    """The way at any strength in the eyes of a judge. name: what files say that it went by.

    leads: whether strength 1 may be moved to where the way ends, or stays and ends it. told_apart: whether
    the judge tells what is wanted from what is there; doubt: what to say where it does not.
    """

    name: str
    leads: bool
    told_apart: bool
    doubt: str

    def __call__(self, strength: float) -> Way: ...


@dataclass(frozen=True)
class UsableRange:
    """Strengths: where a steering begins to show, where its aim is met, and beyond which it does harm.

    met: whether `best` brings prompts far enough; else `best` is 1, as it was fitted.
    """

    low: float
    best: float
    high: float
    met: bool = True


def calibrate(
    problem: Problem | None, config: TrainConfig, steering: Steering, judged: JudgedWay | None = None
) -> Steering:
    """The steering with strength 1 where prompts that it was not fitted to are served.

    judged: goes by a judge in place of the cost. Where that does not tell what is wanted from what is there,
    a warning says so and the cost is gone by; with no problem of these prompts the strength stays. Another
    warning tells where no strength serves the prompts, and where none does so in full.
    """
    if judged is not None and not judged.told_apart:
        warnings.warn(judged.doubt, stacklevel=3)
        judged = None
    if judged is not None:
        found = usable_range(judged, judged.leads)
    elif problem is None:
        return steering
    else:
        found = usable_range(way_of(problem, config, steering), stretches=config.coupling == "pair")
    if found is None or not found.met:
        warnings.warn(
            "On prompts that it was not fitted to "
            + ("no strength of the steering" if found is None else "the steering only partly")
            + " does what it is for. Give more prompts or steps, or say another kind where one was guessed.",
            stacklevel=3,
        )
    return steering if found is None else calibrated(steering, found, COST if judged is None else judged.name)


def usable_range(way: Callable[[float], Way], stretches: bool = True) -> UsableRange | None:
    """The range of a steering, from its way at any strength; None where it goes no way at all.

    The search stretches while the aim is not met and then halves, as the elastic search of sliders does
    (arXiv 2603.17998). stretches: False leaves strength 1 where it is, and its way there is the aim.
    """
    best = 1.0
    if not stretches:
        return _around(way, best, met=True)
    while way(best).along < AIM and best < LONGEST and _goes_on(way(best), way(best * STRETCH)):
        best *= STRETCH
    reached = way(best).along
    met = reached >= MET
    if not met:
        best = 1.0  # what no strength reaches is not bought with the rest of the image
    elif best > 1 or way(best).off >= 1:  # what a fit reaches in full stays as it was fitted
        best = _first(lambda s: way(s).along >= min(AIM, reached), best)
    return _around(way, best, met)


def _goes_on(here: Way, further: Way) -> bool:
    """Whether a stretch leads on, rather than to where a steering is saturated or does harm."""
    expected = min((STRETCH - 1) * here.along, AIM - here.along)
    return further.off < 1 and further.along - here.along > GOING * expected


def _around(way: Callable[[float], Way], best: float, met: bool) -> UsableRange | None:
    reached = way(best).along
    if reached < FINE:
        return None
    low = _first(lambda s: way(s).along >= BEGUN / MET * min(MET, reached), best)
    nearest = _distance(way(best))
    harm = nearest + LOST * (1 - nearest)
    return UsableRange(low, best, _last(lambda s: _distance(way(s)) < harm, best), met)


def _distance(here: Way) -> float:
    """Root of `off`, which rounding may leave below 0."""
    return max(here.off, 0.0) ** 0.5


def _first(holds: Callable[[float], bool], high: float) -> float:
    """The smallest strength up to `high`, where it holds, at which it holds."""
    low = 0.0
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (low, middle) if holds(middle) else (middle, high)
    return high


def _last(holds: Callable[[float], bool], low: float) -> float:
    """The largest strength from `low` on, where it holds, at which it holds."""
    high = LONGEST
    if low >= high or holds(high):
        return max(low, high)
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if holds(middle) else (low, middle)
    return low


def way_of(problem: Problem, config: TrainConfig, steering: Steering) -> Callable[[float], Way]:
    """The way at a strength, on a problem of other prompts.

    Rows are those of the fit, each unit in its spread: coupled in pairs at the sites where both are the same
    place, or by rank at all sites, as the fit couples them. Preserve prompts count as they are.
    """
    batches, pooling = MicroBatches(problem, config.micro_batch), parse_pooling(config.rows, config.seed)
    with fitting_mode(problem, gradients=False):
        problem.order_sites()
        target, source = (batches.rows(group, pooling) for group in ("target", "source"))
        kept = batches.rows("preserve", pooling) if problem.sizes.get("preserve") else {}
    in_pairs = config.coupling == "pair"
    sites = problem.paired_sites() if in_pairs else problem.sites

    def steered(group: Group, maps: Mapping[Site, Map]) -> Rows:
        def run(part: list[int]) -> Rows:
            def transform(site: Site, z: Tensor) -> Tensor:
                if site not in maps:
                    return z
                return problem.steered(maps[site].to(device=z.device), site, z, group, part)

            return problem.rows(group, part, transform, pooling)

        return batches.fitting(lambda: joined([run(part) for part in batches.of(group)]))

    known: dict[float, Way] = {}

    def way(strength: float) -> Way:
        if strength not in known:
            maps = steering.at(strength).maps
            with fitting_mode(problem, gradients=False):
                rows = steered("source", maps)
                others = steered("preserve", maps) if kept else {}
            known[strength] = _way(
                _triples(sites, source, target, rows), in_pairs, _triples(sites, kept, kept, others)
            )
        return known[strength]

    return way


Triple = tuple[Tensor, Tensor, Tensor]


def _triples(sites: Sequence[Site], source: Rows, target: Rows, steered: Rows) -> list[Triple]:
    """Rows of every site and firing, side by side; none where there are no such prompts."""
    found = (zip(source[site], target[site], steered[site], strict=True) for site in sites if site in steered)
    return [each for site in found for each in site]


def _way(rows: list[Triple], in_pairs: bool, kept: list[Triple]) -> Way:
    """From [n, d] source, [m, d] target and [n, d] steered rows of every site and firing; kept: of preserve
    prompts, [p, d] as they were twice, and steered."""
    sums = torch.zeros(3, dtype=torch.float64)
    units = [spread(source, target) for source, target, _ in rows]
    for (source, target, steered), unit in zip(rows, units, strict=True):
        if not in_pairs:
            steered = coupling(steered, target)[0]
            source, target, _ = coupling(source, target)
        whole, moved = (target - source) / unit, (steered - source) / unit
        parts = ((moved * whole).sum(), whole.square().sum(), (moved - whole).square().sum())
        sums += torch.stack(parts).double().cpu()
    for (was, _, now), unit, (source, _, _) in zip(kept, units, rows, strict=False):
        sums[2] += float(((now - was) / unit).square().sum()) * len(source) / len(was)
    along, whole, off = sums.tolist()
    return Way(along / whole, off / whole) if whole else Way(0.0, 1.0)


def calibrated(steering: Steering, found: UsableRange, by: str = COST) -> Steering:
    """The steering whose strength 1 is the best of the range, which it keeps in its settings.

    by: what judged, "cost" or the name of a `JudgedWay`.
    """
    unit = found.best if abs(found.best - 1) > FINE else 1.0
    told: dict[str, Setting] = {
        "usable_from": round(found.low / unit, 3),
        "usable_to": round(found.high / unit, 3),
    }
    told[CALIBRATED_BY] = by
    settings = {**steering.provenance.settings, "strength_unit": round(unit, 3), **told}
    steering = steering.at(unit) if unit != 1 else steering
    return replace(steering, provenance=replace(steering.provenance, settings=settings))
