"""A problem on a tiny token model in plain torch, with every difficulty that a real one can have."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from lineas.fitting.problem import Group, Problem
from lineas.maps.parameters import Parameters
from lineas.steering.site import Site

WIDTH, TOKENS = 6, 5


class ToyBlock(nn.Module):
    """[b, s, d] -> the same: a norm, a mix over tokens and a feed-forward."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(WIDTH)
        self.mix = nn.Linear(WIDTH, WIDTH)
        self.norm2 = nn.LayerNorm(WIDTH)
        self.dropout = nn.Dropout(0.5)

    def forward(self, x: Tensor, real: Tensor) -> Tensor:
        total = (x * real[..., None]).sum(1, keepdim=True) / real.sum(1)[:, None, None]
        x = x + self.mix(self.norm(x) + total).tanh()
        return self.dropout(x + self.norm2(x) * 0.5)


class ToyModel(nn.Module):
    """Runs its blocks `rounds` times over, so that every site fires that often."""

    def __init__(self, rounds: int) -> None:
        super().__init__()
        self.rounds = rounds
        self.blocks = nn.ModuleList([ToyBlock(), ToyBlock()])
        self.head = nn.LayerNorm(WIDTH)
        self.unused = nn.LayerNorm(WIDTH)

    def forward(self, x: Tensor, real: Tensor) -> Tensor:
        for _ in range(self.rounds):
            for block in self.blocks:
                x = block(x, real)
        return self.head(x)


class ToyProblem(Problem):
    """Prompts are random token embeddings with random lengths; target prompts have another mean and spread.

    limit: a run of more prompts than this is out of memory. poison: (site path, from which run on) gives NaN.
    """

    default_sites = "blocks.*norm*"

    def __init__(
        self,
        sizes: tuple[int, int, int] = (6, 6, 0),
        dtype: torch.dtype = torch.float64,
        rounds: int = 1,
        limit: int = 1000,
        sites: Sequence[str] = ("blocks.0.norm", "blocks.0.norm2", "blocks.1.norm", "blocks.1.norm2", "head"),
        error: BaseException | None = None,
        seed: int = 0,
    ) -> None:
        generator = torch.Generator().manual_seed(seed)
        self.model = ToyModel(rounds)
        with torch.no_grad():
            for parameter in self.model.parameters():
                parameter.copy_(0.4 * torch.randn(parameter.shape, generator=generator) + 0.3)
        self.model.to(dtype).train()
        self.limit, self.error, self.runs = limit, error or torch.OutOfMemoryError("device full"), 0
        counts: dict[Group, int] = dict(zip(("source", "target", "preserve"), sizes, strict=True))
        self.prompts = {g: torch.randn(n, TOKENS, WIDTH, generator=generator) for g, n in counts.items()}
        self.prompts["target"] = self.prompts["target"] * 0.6 + 0.8
        self.prompts = {group: prompts.to(dtype) for group, prompts in self.prompts.items()}
        lengths = {g: torch.randint(2, TOKENS + 1, (n,), generator=generator) for g, n in counts.items()}
        self.real = {g: torch.arange(TOKENS) < length[:, None] for g, length in lengths.items()}
        super().__init__(
            {"": self.model},
            [Site(name) for name in sites],
            counts,
            "toy",
            prompts_hash=f"toy {seed} {sizes}",
        )

    def run(self, group: Group, indices: Sequence[int]) -> None:
        self.runs += 1
        if len(indices) > self.limit:
            raise self.error
        chosen = list(indices)
        self.model(self.prompts[group][chosen], self.real[group][chosen])

    def mask(self, site: Site, group: Group, indices: Sequence[int]) -> Tensor:
        return self.real[group][list(indices)]


def gradients_of(parameters: dict[Site, Parameters]) -> list[Tensor]:
    return [gradient.clone() for each in parameters.values() for gradient in each.gradients()]


def moved(trainer: Any, seed: int = 3, size: float = 0.1) -> Any:
    """The same trainer with its parameters away from the identity."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for each in trainer.parameters.values():
            for parameter in each.penalised():
                parameter.copy_(size * torch.randn(parameter.shape, generator=generator))
    return trainer
