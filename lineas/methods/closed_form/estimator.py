"""Closed forms: maps estimated site by site from rows, without a gradient."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from lineas.errors import ConfigError, NonFiniteError
from lineas.fitting.micro_batches import MicroBatches, joined
from lineas.fitting.options import Options, option
from lineas.fitting.problem import Group, Problem, Rows
from lineas.fitting.progress import Callback, Steps, fitting_mode
from lineas.maps.affine import AffineMap
from lineas.maps.banded import BandedMap
from lineas.maps.base import Map
from lineas.maths.pooling import Pooling, parse_pooling
from lineas.maths.transport import same_rows
from lineas.methods.lineas.objective import no_difference
from lineas.modules.recorder import Transform
from lineas.steering.site import Site
from lineas.steering.steering import Steering

Estimate = Callable[..., Map]
"""[n, d] source and [m, d] target rows of one site, one of each per firing, in float64 -> its map. Where a
method asks for neutral rows, [k, d] of them come third."""


def rows_option(default: str) -> Any:
    """The field that says how rows are made."""
    return option(
        default,
        "What a prompt contributes: its mean, last token or max, or single positions as in tokens:8; auto is "
        "last for texts and mean for images.",
    )


@dataclass(frozen=True)
class ClosedFormOptions(Options):
    """What all closed forms take."""

    rows: str = rows_option("mean")
    micro_batch: int = option(
        0, "Prompts that run at once; 0 tries all and halves while memory is short.", minimum=0
    )
    seed: int = option(0, "Seed of the initial noise and of sampled positions.", minimum=0)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.rows != "auto":
            parse_pooling(self.rows)

    def pooling(self, problem: Problem) -> Pooling:
        """The pooling that `rows` names, for this kind of problem."""
        automatic = "last" if problem.is_text else "mean"
        return parse_pooling(automatic if self.rows == "auto" else self.rows, self.seed)


@dataclass(frozen=True)
class SequentialOptions(ClosedFormOptions):
    """What the closed forms of AcT take."""

    order: Literal["sequential", "at_once"] = option(
        "sequential",
        "sequential: site after site, each with the maps of the earlier ones at work; at_once: all from the "
        "untouched model.",
    )
    support: Literal["all", "observed"] = option(
        "all",
        "all: maps act on every value; observed: only on values within the range of the source rows (cannot "
        "be fused).",
    )
    target_rows: Literal["untouched", "steered"] = option(
        "untouched",
        "Where a sequential estimate takes target rows: from the untouched model, or from the steered one, "
        "as the definition in the paper of AcT has it.",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if (self.order, self.target_rows) == ("at_once", "steered"):
            raise ConfigError(
                'target_rows "steered" needs order "sequential": at once there is no steered model.'
            )


def observed(estimate: Callable[[list[Tensor], list[Tensor]], AffineMap]) -> Estimate:
    """The same estimate, at work on values within the range of the source rows alone.

    Source: arXiv 2410.23054, section 3.1, Q_o = [min A, max A].
    """

    def banded(source: list[Tensor], target: list[Tensor]) -> BandedMap:
        map, rows = estimate(source, target), torch.cat(source)
        return BandedMap(map.deviation, map.shift, rows.amin(0), rows.amax(0))

    return banded


def fit_sequential(
    method: str,
    estimate: Callable[[list[Tensor], list[Tensor]], AffineMap],
    problem: Problem,
    config: SequentialOptions,
    progress: Callback | None,
    seconds: float | None,
) -> Steering:
    """One fit of an affine estimate, in the order and on the support that the options ask for."""
    chosen: Estimate = observed(estimate) if config.support == "observed" else estimate
    run = ClosedForm(method, chosen, problem, config, progress, seconds)
    return run.at_once() if config.order == "at_once" else run.sequential(config.target_rows)


class ClosedForm:
    """One fit of a closed form: captures rows, estimates a map per site and tells its progress.

    A step is a site. Stopped early, the sites that have been estimated make up the steering. Raises
    `NonFiniteError`, with those sites, when rows or a map are not finite, and `PromptError` where source and
    target rows are the same at every site.
    """

    def __init__(
        self,
        method: str,
        estimate: Estimate,
        problem: Problem,
        config: ClosedFormOptions,
        progress: Callback | None = None,
        seconds: float | None = None,
    ) -> None:
        self.method, self.problem, self.config, self._estimate = method, problem, config, estimate
        self.maps: dict[Site, Map] = {}
        self._telling, self._differs = False, False
        self._pooling = config.pooling(problem)
        self._batches = MicroBatches(problem, config.micro_batch)
        self._steps = Steps(len(problem.sites), progress, self.steering, seconds, cut=False)
        with fitting_mode(problem, gradients=False):
            problem.order_sites()

    def at_once(self, neutral: Group | None = None) -> Steering:
        """Every site from the rows of the untouched model: one pass over each group.

        neutral: the group whose rows the estimate takes besides.
        """
        groups: set[Group] = {"source", "target", *([neutral] if neutral else [])}
        with fitting_mode(self.problem, gradients=False):
            rows = {group: self._rows(group) for group in sorted(groups)}
            for site in self.problem.sites:
                others = [rows[neutral][site]] if neutral else []
                if self._add(site, rows["source"][site], rows["target"][site], *others):
                    break
        self._check_difference()
        return self.steering()

    def sequential(self, target: Literal["untouched", "steered"] = "untouched") -> Steering:
        """Site after site in execution order, each with the maps of the earlier ones at work.

        Source: arXiv 2410.23054, section 3.2. With target rows of the untouched model it is a single pass
        over the source prompts where they fit into memory at once and every site fires once; else a pass
        per site.
        """
        with fitting_mode(self.problem, gradients=False):
            untouched = self._rows("target") if target == "untouched" else None
            self._batches.fitting(lambda: self._sequence(untouched))
        self._check_difference()
        return self.steering()

    def steering(self) -> Steering:
        """The maps so far, on the CPU in float32."""
        settings = self.config.settings() | {"seconds": round(self._steps.seconds, 1)}
        settings |= {f"{group}_prompts": size for group, size in self.problem.sizes.items()}
        return Steering(dict(self.maps), self.problem.provenance(self.method, **settings))

    def _sequence(self, untouched: Rows | None) -> None:
        self._start_over()
        if untouched is not None and self._may_fire_once(untouched):
            try:
                self._one_pass(untouched)
                return
            except _Stopped:
                return
            except _FiredAgain:
                self._start_over()
        for site in self.problem.sites:
            source = self._steered_rows("source", site)
            target = self._steered_rows("target", site) if untouched is None else untouched[site]
            if self._add(site, source, target):
                return

    def _one_pass(self, target: Rows) -> None:
        """Each map is estimated when its site fires, and is at work on all that follows."""
        (everyone,) = self._batches.of("source")
        expected = len(everyone) * getattr(self._pooling, "count", 1)

        def transform(site: Site, z: Tensor) -> Tensor:
            if self._telling:  # the callback runs the model itself, for a preview perhaps
                return z
            rows = self.problem.pooled(site, z, "source", everyone, self._pooling)
            if site in self.maps or len(rows) != expected:
                raise _FiredAgain
            if self._add(site, [rows], target[site]):
                raise _Stopped
            return self._applied(site, z)

        with self.problem.transforming(transform):
            self.problem.run("source", everyone)

    def _add(self, site: Site, source: list[Tensor], target: list[Tensor], *others: list[Tensor]) -> bool:
        """Estimate the map of a site; True when the fit should stop here."""
        given = [[rows.to("cpu", torch.float64) for rows in each] for each in (source, target, *others)]
        u, v = given[:2]
        self._check(site, "What the model gives", [rows for each in given for rows in each])
        self._differs |= not all(same_rows(a, b) for a, b in zip(u, v, strict=True))
        map = self._estimate(*given).to(dtype=torch.float32)
        self._check(site, "The map", list(map.tensors().values()))
        self.maps[site] = map
        self._telling = True
        try:
            self._steps.done()
            return self._steps.stopped
        finally:
            self._telling = False

    def _applied(self, site: Site, z: Tensor) -> Tensor:
        return self.maps[site].to(device=z.device)(z, 1.0, site.axis) if site in self.maps else z

    def _rows(self, group: Group) -> Rows:
        return self._batches.rows(group, self._pooling)

    def _steered_rows(self, group: Group, site: Site) -> list[Tensor]:
        """Rows of one site with the maps so far at work."""
        transform: Transform = self._applied
        parts = [self.problem.rows(group, part, transform, self._pooling) for part in self._batches.of(group)]
        return joined([{site: part[site]} for part in parts])[site]

    def _may_fire_once(self, target: Rows) -> bool:
        return len(self._batches.of("source")) == 1 and all(len(firings) == 1 for firings in target.values())

    def _start_over(self) -> None:
        self.maps.clear()
        self._steps.start_over()

    def _check_difference(self) -> None:
        if not self._differs and not self._steps.stopped:
            raise no_difference(len(self.maps))

    def _check(self, site: Site, what: str, tensors: list[Tensor]) -> None:
        if not all(bool(tensor.isfinite().all()) for tensor in tensors):
            raise NonFiniteError(
                f"{what} at {site} is not finite, after {len(self.maps)} sites with maps. Load the model in "
                "bfloat16 or float32; with maps at work, take fewer sites or order at_once.",
                step=len(self.maps),
                site=str(site),
                steering=self.steering() if self.maps else None,
            )


class _FiredAgain(Exception):
    """A site fires more often than one pass can serve."""


class _Stopped(Exception):
    """The callback asked to stop in the middle of a pass."""
