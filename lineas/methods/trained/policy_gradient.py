"""Policy gradient: raises the reward of what the model writes, by REINFORCE with a leave-one-out baseline."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from lineas.errors import ConfigError
from lineas.fitting.micro_batches import MicroBatches
from lineas.fitting.text_problem import Continuations, TextProblem
from lineas.methods.trained.descent import MakeTransform, forget_gradients

Reward = Callable[[Sequence[str]], Sequence[float]]
"""Continuations -> one number each; more is better."""


@dataclass(frozen=True)
class Sampling:
    """What is written at each step: how many openings, of how many tokens, continued how often and how far.

    divergence: weight of the KL divergence from the untouched model, taken off the reward. seed: of draws.
    """

    openings: int
    opening_tokens: int
    new_tokens: int
    samples: int
    divergence: float
    seed: int


class PolicyGradient:
    """The mean return of sampled continuations of the source texts' openings, with its sign turned.

    Source: REINFORCE (Williams 1992) with the baseline of RLOO (arXiv 2402.14740); the return is the reward
    minus `divergence` times log π / π₀, π₀ the untouched model.
    """

    def __init__(
        self, problem: TextProblem, batches: MicroBatches, reward: Reward, sampling: Sampling
    ) -> None:
        self._problem, self._batches, self._reward, self._sampling = problem, batches, reward, sampling
        self._generator = torch.Generator().manual_seed(sampling.seed)
        self._queue: list[int] = []

    def __call__(self, transform: MakeTransform, parameters: Sequence[Tensor], step: int) -> float:
        chosen = self._next_openings()

        def accumulate() -> float:
            forget_gradients(parameters)
            return self._accumulate(transform, chosen, step)

        return self._batches.fitting(accumulate)

    def _accumulate(self, transform: MakeTransform, chosen: list[int], step: int) -> float:
        written = self._written(transform, chosen, step)
        returns = torch.cat([self._returns(transform, part) for part in written])
        advantages = leave_one_out(returns.unflatten(0, (len(chosen), -1))).flatten() / len(returns)
        shares = advantages.split([len(part.ids) for part in written])
        for part, share in zip(written, shares, strict=True):
            with self._problem.transforming(transform()):
                likelihood = self._problem.log_likelihood(part)
                # ∇ E[return] = E[advantage · ∇ log π]
                (-(share.to(likelihood) * likelihood)).sum().backward()
        return -returns.mean().item()

    @torch.no_grad()
    def _written(self, transform: MakeTransform, chosen: list[int], step: int) -> list[Continuations]:
        """Several continuations of each opening, in a row, by the steered model; in micro-batches."""
        sampling, size = self._sampling, self._batches.size
        openings = self._problem.openings("source", chosen, sampling.opening_tokens)
        repeated = [opening for opening in openings for _ in range(sampling.samples)]
        parts = [repeated[start : start + size] for start in range(0, len(repeated), size)]
        first = (sampling.seed * 1_000_003 + step) * 1009
        with self._problem.transforming(transform()):
            return [
                self._problem.continued(part, sampling.new_tokens, first + number)
                for number, part in enumerate(parts)
            ]

    @torch.no_grad()
    def _returns(self, transform: MakeTransform, written: Continuations) -> Tensor:
        """[samples] reward minus the weighted divergence from the untouched model."""
        returns = torch.tensor(self._scores(written))
        if self._sampling.divergence:
            with self._problem.transforming(transform()):
                steered = self._problem.log_likelihood(written)
            drift = (steered - self._problem.log_likelihood(written)).to(returns)
            returns = returns - self._sampling.divergence * drift
        return returns

    def _scores(self, written: Continuations) -> list[float]:
        """The reward of each text. Raises `ConfigError` for anything but finite numbers."""
        rewards = [float(value) for value in self._reward(written.texts)]
        if len(rewards) != len(written.texts) or not all(map(math.isfinite, rewards)):
            raise ConfigError(
                f"The reward gave {str(rewards)[:80]} for {len(written.texts)} texts, expected a finite "
                "number for each."
            )
        return rewards

    def _next_openings(self) -> list[int]:
        """Source texts in random order, each once before any comes again."""
        count = min(self._sampling.openings, self._problem.sizes["source"])
        chosen: list[int] = []
        while len(chosen) < count:
            if not self._queue:
                self._queue = torch.randperm(
                    self._problem.sizes["source"], generator=self._generator
                ).tolist()
            chosen.append(self._queue.pop())
        return chosen


def leave_one_out(returns: Tensor) -> Tensor:
    """[p, k] returns of k ≥ 2 samples of p openings -> [p, k] each minus the mean of its k − 1 siblings."""
    count = returns.shape[-1]
    return (returns - returns.mean(-1, keepdim=True)) * count / (count - 1)
