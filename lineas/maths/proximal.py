"""Proximal steps around any torch optimiser, and the learning-rate schedule."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from lineas.errors import ConfigError

Prox = Callable[[Tensor, "float | Tensor"], Tensor]


class ProximalOptimizer:
    """A base optimiser's step, then every parameter x becomes prox(x, lr · γ).

    base: any torch optimiser; its learning rate is read at each step.
    prox: (x, step size) -> x, for all parameter groups, or one per group with None for no penalty; the
    step is a number, or one per element.
    gamma: γ, at least 0; 0 leaves the base optimiser as it is. Raising it makes more exact zeros.

    This is proximal gradient descent on cost + γ · penalty. With an adaptive base (Adam) the prox is that of
    its metric, a step lr · γ / √v for each number, so that it settles on the same minimum as SGD and γ weighs
    the penalty against the cost itself. (With lr · γ for all, every gradient counts as 1 whatever its size,
    and the support is everything below γ = 1 and nothing above.)
    Raises `ConfigError` when the proxes do not pair with the groups. Source: LinEAS section 3.2.
    """

    def __init__(self, base: Optimizer, prox: Prox | Sequence[Prox | None], gamma: float = 1.0) -> None:
        proxes = [prox] * len(base.param_groups) if callable(prox) else list(prox)
        if len(proxes) != len(base.param_groups):
            raise ConfigError(f"Got {len(proxes)} proxes for {len(base.param_groups)} parameter groups.")
        if not 0 <= gamma < math.inf:
            raise ConfigError(f"gamma must be finite and at least 0, got {gamma}.")
        self.base = base
        self.proxes = proxes
        self.gamma = gamma

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        """The base optimiser's groups, learning rates included."""
        return self.base.param_groups

    @torch.no_grad()
    def step(self) -> None:
        """One base step, then the prox of every parameter, in place."""
        self.base.step()
        if self.gamma == 0:
            return
        for group, prox in zip(self.base.param_groups, self.proxes, strict=True):
            if prox is None:
                continue
            for parameter in group["params"]:
                parameter.copy_(prox(parameter, self._size(group, parameter)))

    def _size(self, group: dict[str, Any], parameter: Tensor) -> float | Tensor:
        """lr · γ, divided by what the base has just divided this parameter's gradient by."""
        size, state = float(group["lr"]) * self.gamma, self.base.state.get(parameter, {})
        if size == 0 or "exp_avg_sq" not in state:
            return size
        mean_square = state["exp_avg_sq"] / (1 - group["betas"][1] ** float(state["step"]))
        return size / (mean_square.sqrt() + group["eps"])

    def zero_grad(self) -> None:
        """Forget the gradients."""
        self.base.zero_grad(set_to_none=True)

    def state_dict(self) -> dict[str, Any]:
        """A copy of the base optimiser's state, which later steps leave alone; the prox has none."""
        return copy.deepcopy(self.base.state_dict())

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a `state_dict`, which later steps leave alone."""
        self.base.load_state_dict(copy.deepcopy(state))


def cosine_learning_rate(step: int, steps: int, lr: float, floor: float = 0.0) -> float:
    """The learning rate at `step` (0 the first): from `lr` at 0 down half a cosine to `floor` at `steps`.

    Steps outside 0..`steps` take the nearer end. Raises `ConfigError` when `steps` is below 1.
    """
    if steps < 1:
        raise ConfigError(f"A schedule needs at least 1 step, got {steps}.")
    progress = min(max(step, 0), steps) / steps
    return floor + (lr - floor) * (1 + math.cos(math.pi * progress)) / 2
