"""A second process that adds gradients when a core has time to spare; they may be a step old."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator

import torch
import torch.multiprocessing as mp
from torch import Tensor, nn

Losses = Callable[[nn.Module, int], Iterator[Tensor]]
"""(model, seed) -> an endless stream of losses on fresh batches."""


def flat(tensors: list[Tensor]) -> Tensor:
    return torch.cat([tensor.reshape(-1) for tensor in tensors])


def unflat(vector: Tensor, like: list[nn.Parameter]) -> list[Tensor]:
    return [part.view_as(p) for part, p in zip(vector.split([p.numel() for p in like]), like, strict=True)]


class Helper:
    """Runs ``losses(model, seed)`` in a process of lower priority."""

    def __init__(self, model: nn.Module, losses: Losses, seed: int = 1) -> None:
        self.weights = flat([p.detach() for p in model.parameters()]).share_memory_()
        self.gradient = torch.zeros_like(self.weights).share_memory_()
        self.full = torch.zeros((), dtype=torch.int32).share_memory_()
        shared = (self.weights, self.gradient, self.full)
        self.process = mp.get_context("spawn").Process(
            target=_work, args=(model, losses, seed, *shared), daemon=True
        )
        self.process.start()

    def share(self, model: nn.Module) -> bool:
        """Average the helper's gradient into the model's own when there is one; True if there was."""
        if not self.full.item():
            return False
        parameters = list(model.parameters())
        for parameter, value in zip(parameters, unflat(self.gradient, parameters), strict=True):
            if parameter.grad is not None:
                parameter.grad.lerp_(value, 0.5)
        self.full.fill_(0)
        return True

    @torch.no_grad()
    def publish(self, model: nn.Module) -> None:
        """Hand the newest weights over."""
        self.weights.copy_(flat([p.detach() for p in model.parameters()]))

    def stop(self) -> None:
        self.process.terminate()


class NoHelper:
    """What takes the helper's place when there is none."""

    def share(self, model: nn.Module) -> bool:
        return False

    def publish(self, model: nn.Module) -> None:
        pass

    def stop(self) -> None:
        pass


def _work(
    model: nn.Module, losses: Losses, seed: int, weights: Tensor, gradient: Tensor, full: Tensor
) -> None:
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    os.nice(15)
    parameters = list(model.parameters())
    stream = losses(model, seed)
    while True:
        with torch.no_grad():
            for parameter, value in zip(parameters, unflat(weights, parameters), strict=True):
                parameter.copy_(value)
        model.zero_grad(set_to_none=True)
        next(stream).backward()
        gradient.copy_(flat([p.grad if p.grad is not None else torch.zeros_like(p) for p in parameters]))
        full.fill_(1)
        while full.item():
            time.sleep(0.005)
