"""Descent: Adam on the parameters of maps, from an objective that puts gradients into them."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from lineas.errors import NonFiniteError
from lineas.fitting.micro_batches import MicroBatches
from lineas.fitting.progress import Steps
from lineas.fitting.text_problem import TextProblem
from lineas.maths.proximal import cosine_learning_rate
from lineas.modules.recorder import Transform

MakeTransform = Callable[[], Transform]
"""Gives the transform of the newest maps, with a fresh graph to the parameters: one per backward pass."""

Gradient = Callable[[MakeTransform, Sequence[Tensor], int], float]
"""(transform, parameters, step) -> the objective at the parameters, whose `grad` it sets."""


def descend(
    gradient: Gradient,
    transform: MakeTransform,
    parameters: Sequence[Tensor],
    steps: int,
    learning_rate: float,
    told: Steps,
) -> None:
    """Up to `steps` steps of Adam, its rate falling along a cosine, fewer where `told` has time for fewer.

    Raises `NonFiniteError`, with what was learned until then, when the objective or a gradient is not finite.
    """
    optimizer = torch.optim.Adam(parameters, lr=learning_rate)
    step, end = 0, told.count + steps
    while told.left and told.count < end:
        value = torch.tensor(gradient(transform, parameters, step))
        gradients = [p.grad for p in parameters if p.grad is not None]
        if not all(bool(tensor.isfinite().all()) for tensor in (value, *gradients)):
            raise NonFiniteError(
                f"The objective or its gradient is not finite at step {step + 1}. Lower the learning rate "
                f"(it is {learning_rate:g}), or load it in bfloat16 or float32; the steering so far is "
                "kept.",
                step=step + 1,
                steering=told.newest() if step else None,
            )
        for group in optimizer.param_groups:
            group["lr"] = cosine_learning_rate(step, step + min(end, told.total) - told.count, learning_rate)
        optimizer.step()
        told.done(objective=value.item())
        step += 1


class TargetLikelihood:
    """The mean loss of the target texts, in nats per token; every text counts alike."""

    def __init__(self, problem: TextProblem, batches: MicroBatches) -> None:
        warn_of_equal_texts(problem)
        self._problem, self._batches = problem, batches

    def __call__(self, transform: MakeTransform, parameters: Sequence[Tensor], step: int) -> float:
        return self._batches.fitting(lambda: self._accumulate(transform, parameters), backward=True)

    def _accumulate(self, transform: MakeTransform, parameters: Sequence[Tensor]) -> float:
        forget_gradients(parameters)
        total = 0.0
        for part in self._batches.of("target"):
            with self._problem.transforming(transform()):
                loss = self._problem.text_loss("target", part).sum() / self._problem.sizes["target"]
                loss.backward()
            total += loss.item()
        return total


def warn_of_equal_texts(problem: TextProblem) -> None:
    """Warn where the source texts are the target texts: nothing lies between the two."""
    source, target = (
        problem.openings(group, range(problem.sizes[group]), sys.maxsize) for group in ("source", "target")
    )
    if sorted(source) == sorted(target):
        warnings.warn(
            "The source texts are the target texts, so the steering leads from neither to the other: it only "
            "makes those texts likelier. Give other texts for one of them.",
            stacklevel=2,
        )


def forget_gradients(parameters: Sequence[Tensor]) -> None:
    """As if no backward pass had been."""
    for parameter in parameters:
        parameter.grad = None
