"""LoFiT (arXiv 2406.01563): offsets at the units that matter most, from target texts or from a reward."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from lineas.errors import ConfigError
from lineas.fitting.micro_batches import MicroBatches
from lineas.fitting.options import Options, option
from lineas.fitting.problem import Problem
from lineas.fitting.progress import Callback, Steps, fitting_mode
from lineas.fitting.text_problem import TextProblem, texts_of
from lineas.maps.affine import AffineMap
from lineas.maths.transport import spread
from lineas.methods.trained.descent import Gradient, MakeTransform, TargetLikelihood, descend
from lineas.methods.trained.policy_gradient import PolicyGradient, Reward, Sampling
from lineas.methods.trained.proximal_policy import ProximalPolicy
from lineas.modules.recorder import Transform
from lineas.steering.site import Site
from lineas.steering.steering import Steering


@dataclass(frozen=True)
class LoFiTConfig(Options):
    """Options of LoFiT."""

    reward: Reward | None = option(  # noqa: RUF009
        None,
        "Scores continuations, more is better, and is what is raised; without one the target texts are made "
        "likely.",
    )
    steps: int = option(50, "Steps that learn the offsets, after the units are chosen.", minimum=1)
    selection_steps: int = option(20, "Steps that learn which units matter.", minimum=1)
    learning_rate: float = option(
        0.02,
        "Size of the first step; it falls to 0 along a cosine. Halve it when the loss jumps.",
        minimum=1e-8,
    )
    kept: float = option(0.1, "Share of all units that get an offset, 0 to 1.", minimum=0)
    scale_penalty: float = option(
        5e-4, "Weight of the absolute values of the scales that choose the units.", minimum=0
    )
    openings: int = option(8, "With a reward: texts that are continued in each step.", minimum=1)
    opening_tokens: int = option(6, "With a reward: tokens of a source text that are given.", minimum=1)
    new_tokens: int = option(16, "With a reward: tokens that the model adds.", minimum=1)
    samples: int = option(4, "With a reward: continuations of each text, compared to each other.", minimum=2)
    policy: Literal["reinforce", "ppo"] = option(
        "reinforce",
        "With a reward: reinforce compares the continuations of each opening; ppo learns a value head beside "
        "the maps and uses what was written in several steps, as in the paper.",
    )
    reuse: int = option(4, "With ppo: steps that use the same continuations.", minimum=1)
    divergence: float = option(
        0.05,
        "With a reward: weight of the divergence from the untouched model; raising it changes texts less.",
        minimum=0,
    )
    micro_batch: int = option(
        0, "Texts that run at once; 0 tries all and halves while memory is short.", minimum=0
    )
    seed: int = option(0, "Seed of the continuations.", minimum=0)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.kept > 1:
            raise ConfigError(f"kept is {self.kept}, expected a share from 0 to 1.")


def fit(
    problem: Problem,
    config: LoFiTConfig | None = None,
    progress: Callback | None = None,
    seconds: float | None = None,
) -> Steering:
    """Scales choose the units, offsets at those units are learned and kept; the scales are not.

    Source: arXiv 2406.01563, section 3, at units of any site instead of attention heads. A step is a pass
    over the target texts, or a round of continuations. Stopped while the units are being chosen, there are
    no offsets yet and the maps change nothing; stopped later, the newest offsets are the steering.
    """
    run = _LoFiT(texts_of(problem, "lofit"), config or LoFiTConfig(), progress, seconds)
    with fitting_mode(problem, gradients=True):
        run.choose_units()
        if not run.told.stopped:
            run.learn_offsets()
        return run.steering()


class _LoFiT:
    """The two phases of one fit. Offsets are held in units of each unit's spread."""

    def __init__(
        self,
        problem: TextProblem,
        config: LoFiTConfig,
        progress: Callback | None,
        seconds: float | None = None,
    ) -> None:
        self.problem, self.config = problem, config
        self.told = Steps(config.selection_steps + config.steps, progress, self.steering, seconds)
        batches = MicroBatches(problem, config.micro_batch)
        with fitting_mode(problem, gradients=False):
            problem.order_sites()
            source, target = batches.rows("source"), batches.rows("target")
        self.spreads = {site: spread(source[site][0], target[site][0]) for site in problem.sites}
        self.chosen = {site: torch.zeros_like(unit, dtype=torch.bool) for site, unit in self.spreads.items()}
        self.scales, self.offsets = _zeros(self.spreads), _zeros(self.spreads)
        self.objective = _objective(problem, batches, config)

    def choose_units(self) -> None:
        """Learn scales, z ← (1 + A) ⊙ z with a penalty on |A|, and keep the units where |A| is largest."""

        def maps() -> dict[Site, AffineMap]:
            return {s: AffineMap(a, torch.zeros_like(a)) for s, a in self.scales.items()}

        self._descend(_penalised(self.objective, self.config.scale_penalty), maps, self.scales, phase=0)
        size = torch.cat([a.detach().abs().cpu() for a in self.scales.values()])
        best = size.topk(max(1, round(self.config.kept * len(size)))).indices
        chosen = torch.zeros_like(size, dtype=torch.bool).index_fill(0, best, True) & (size > 0)
        parts = chosen.split([len(unit) for unit in self.spreads.values()])
        self.chosen = {s: part.to(u.device) for (s, u), part in zip(self.spreads.items(), parts, strict=True)}

    def learn_offsets(self) -> None:
        """Learn z ← z + v at the chosen units."""
        self._descend(self.objective, self._offset_maps, self.offsets, phase=1)

    def steering(self) -> Steering:
        """The offsets so far, on the CPU in float32."""
        with torch.no_grad():
            maps = {site: map.to("cpu", torch.float32) for site, map in self._offset_maps().items()}
        settings = self.config.settings() | {"steps_done": self.told.count}
        settings["seconds"] = round(self.told.seconds, 1)
        return Steering(maps, self.problem.provenance("lofit", **settings))

    def _offset_maps(self) -> dict[Site, AffineMap]:
        shifts = {s: self.spreads[s] * self.chosen[s] * v for s, v in self.offsets.items()}
        return {s: AffineMap(torch.zeros_like(shift), shift) for s, shift in shifts.items()}

    def _descend(
        self,
        objective: Gradient,
        maps: Callable[[], Mapping[Site, AffineMap]],
        parameters: Mapping[Site, Tensor],
        phase: int,
    ) -> None:
        def transform() -> Transform:
            newest = maps()
            return lambda site, z: newest[site](z, 1.0, site.axis)

        steps = self.config.steps if phase else self.config.selection_steps
        each = list(parameters.values())
        descend(objective, transform, each, steps, self.config.learning_rate, self.told)


def _objective(problem: TextProblem, batches: MicroBatches, config: LoFiTConfig) -> Gradient:
    if config.reward is None:
        return TargetLikelihood(problem, batches)
    sampling = Sampling(
        config.openings,
        config.opening_tokens,
        config.new_tokens,
        config.samples,
        config.divergence,
        config.seed,
    )
    if config.policy == "ppo":
        return ProximalPolicy(problem, batches, config.reward, sampling, config.reuse)
    return PolicyGradient(problem, batches, config.reward, sampling)


def _penalised(objective: Gradient, weight: float) -> Gradient:
    """The same plus `weight` times the sum of absolute values, whose gradient at 0 is taken as 0."""

    def gradient(transform: MakeTransform, parameters: Sequence[Tensor], step: int) -> float:
        value = objective(transform, parameters, step)
        for parameter in parameters:
            assert parameter.grad is not None
            parameter.grad += weight * parameter.detach().sign()
        return value + weight * sum(float(p.detach().abs().sum()) for p in parameters)

    return gradient


def _zeros(like: Mapping[Site, Tensor]) -> dict[Site, Any]:
    return {site: torch.zeros_like(each).requires_grad_() for site, each in like.items()}
