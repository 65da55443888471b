"""ReFT, in the form LoReFT (arXiv 2404.03592): low-rank maps trained on the target texts' likelihood."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from lineas.errors import ConfigError
from lineas.fitting.micro_batches import MicroBatches
from lineas.fitting.options import Options, option
from lineas.fitting.problem import Problem
from lineas.fitting.progress import Callback, Steps, fitting_mode
from lineas.fitting.text_problem import texts_of
from lineas.maps.base import Map
from lineas.maps.low_rank import LowRankMap
from lineas.methods.trained.descent import TargetLikelihood, descend
from lineas.modules.recorder import Transform
from lineas.steering.site import Site
from lineas.steering.steering import Steering


@dataclass(frozen=True)
class ReFTConfig(Options):
    """Options of ReFT."""

    steps: int = option(50, "Passes over the target texts; more fit them more closely.", minimum=1)
    learning_rate: float = option(
        0.002,
        "Size of the first step; it falls to 0 along a cosine. Halve it when the loss jumps.",
        minimum=1e-8,
    )
    rank: int = option(4, "Dimensions of the subspace that is edited at each site.", minimum=1)
    micro_batch: int = option(
        0, "Prompts that run at once; 0 tries all and halves while memory is short.", minimum=0
    )
    seed: int = option(0, "Seed of the subspaces at the start.", minimum=0)


def fit(
    problem: Problem,
    config: ReFTConfig | None = None,
    progress: Callback | None = None,
    seconds: float | None = None,
) -> Steering:
    """An edit of a learned subspace at every site that makes the target texts likely.

    Source prompts are not used. A step is a pass over the target texts; stopped early, the newest maps are
    the steering.
    """
    config, texts = config or ReFTConfig(), texts_of(problem, "reft")
    batches = MicroBatches(texts, config.micro_batch)
    with fitting_mode(texts, gradients=True):
        texts.order_sites()
        parameters = _parameters(texts, config)

        def maps() -> dict[Site, Map]:
            return {site: each.map() for site, each in parameters.items()}

        def transform() -> Transform:
            newest = maps()
            return lambda site, z: newest[site](z, 1.0, site.axis)

        def steering() -> Steering:
            with torch.no_grad():
                kept = {site: map.to("cpu", torch.float32) for site, map in maps().items()}
            settings = config.settings() | {"steps_done": told.count, "seconds": round(told.seconds, 1)}
            return Steering(kept, texts.provenance("reft", **settings))

        told = Steps(config.steps, progress, steering, seconds)
        everything = [tensor for each in parameters.values() for tensor in each.all()]
        objective = TargetLikelihood(texts, batches)
        descend(objective, transform, everything, config.steps, config.learning_rate, told)
        return steering()


class LowRankParameters:
    """What training moves at one site: a free matrix that is made orthonormal, W and b.

    The map starts as the identity, W = R and b = 0.
    """

    def __init__(self, width: int, rank: int, generator: torch.Generator, device: torch.device) -> None:
        self.free = torch.randn(width, rank, generator=generator).to(device).requires_grad_()
        self.weight = self.rotation().detach().clone().requires_grad_()
        self.bias = torch.zeros(rank, device=device).requires_grad_()

    def rotation(self) -> Tensor:
        """[r, d] R with orthonormal rows, a smooth function of the free matrix."""
        q, r = torch.linalg.qr(self.free)
        return (q * r.diagonal().sign()).mT  # the sign makes it unique, else rows could flip between steps

    def all(self) -> list[Tensor]:
        """Every parameter, in a fixed order."""
        return [self.free, self.weight, self.bias]

    def map(self) -> LowRankMap:
        """h + Rᵀ (W h + b − R h): arXiv 2404.03592, equation 2. Gradients flow to the parameters."""
        return LowRankMap(self.rotation(), self.weight, self.bias)


def _parameters(problem: Problem, config: ReFTConfig) -> dict[Site, LowRankParameters]:
    generator = torch.Generator().manual_seed(config.seed)
    with torch.no_grad():
        rows = problem.rows("target", [0])
    narrow = [site for site in problem.sites if rows[site][0].shape[1] < config.rank]
    if narrow:
        raise ConfigError(
            f"rank is {config.rank}, and {narrow[0]} has {rows[narrow[0]][0].shape[1]} units. Lower the rank."
        )
    like = {site: rows[site][0] for site in problem.sites}
    return {
        site: LowRankParameters(row.shape[1], config.rank, generator, row.device)
        for site, row in like.items()
    }
