"""Muon for matrices and convolutions, Adam for the rest: fewer images to the same loss than Adam alone."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn


def native_bfloat16() -> bool:
    """Whether the processor multiplies bfloat16 itself, two to four times as fast as float32."""
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()


def mixed() -> torch.autocast:
    """bfloat16 where that is fast, else float32.

    Casts are not kept: one made without gradients would keep them from the weights later.
    """
    return torch.autocast("cpu", torch.bfloat16, enabled=native_bfloat16(), cache_enabled=False)


def orthogonalised(matrix: Tensor, steps: int = 5) -> Tensor:
    """The nearest semi-orthogonal matrix [rows, columns], roughly, by a quintic Newton–Schulz iteration."""
    a, b, c = 3.4445, -4.7750, 2.0315
    x = matrix.to(torch.bfloat16 if native_bfloat16() else matrix.dtype)
    tall = x.shape[0] > x.shape[1]
    x = x.T if tall else x
    x = x / (x.norm() + 1e-7)
    for _ in range(steps):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    return (x.T if tall else x).to(matrix.dtype)


class Muon(torch.optim.Optimizer):
    """Momentum whose step is orthogonalised; weights of any rank are read as [outputs, everything else].

    Args:
        parameters: weights with two or more axes.
        lr: step size; the update of a weight has spectral norm of about ``lr·√max(1, outputs / inputs)``.
        momentum: Nesterov momentum.
    """

    def __init__(self, parameters: Iterable[nn.Parameter], lr: float = 0.02, momentum: float = 0.95) -> None:
        super().__init__(parameters, {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is None:
                    continue
                trace = self.state[weight].setdefault("trace", torch.zeros_like(weight))
                trace.lerp_(weight.grad, 1 - group["momentum"])
                update = orthogonalised(weight.grad.lerp(trace, group["momentum"]).flatten(1))
                scale = max(1.0, update.shape[0] / update.shape[1]) ** 0.5
                weight.add_(update.view_as(weight), alpha=-group["lr"] * scale)


class Optimisers:
    """Muon for inner weights, Adam for embeddings, norms, biases and the named outer layers."""

    def __init__(self, model: nn.Module, muon_lr: float, adam_lr: float, outer: tuple[str, ...] = ()) -> None:
        def inner(name: str, weight: Tensor) -> bool:
            return weight.ndim >= 2 and "embed" not in name and not any(part in name for part in outer)

        named = [(n, p) for n, p in model.named_parameters() if p.requires_grad]
        self.all = [
            Muon([p for n, p in named if inner(n, p)], lr=muon_lr),
            torch.optim.Adam([p for n, p in named if not inner(n, p)], lr=adam_lr, betas=(0.9, 0.98)),
        ]
        self.rates = [muon_lr, adam_lr]

    def step(self, scale: float) -> None:
        """One step at ``scale`` times the base rates; gradients are cleared."""
        for optimiser, rate in zip(self.all, self.rates, strict=True):
            for group in optimiser.param_groups:
                group["lr"] = rate * scale
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)

    def state_dict(self) -> list[dict]:
        return [optimiser.state_dict() for optimiser in self.all]

    def load_state_dict(self, states: list[dict]) -> None:
        for optimiser, state in zip(self.all, states, strict=True):
            optimiser.load_state_dict(state)


def ramp(progress: float, warm: float = 0.02, flat: float = 0.55) -> float:
    """Learning-rate scale over progress in 0..1: linear rise, plateau, linear fall to zero."""
    if progress < warm:
        return progress / warm
    return 1.0 if progress < flat else max(0.0, (1 - progress) / (1 - flat))
