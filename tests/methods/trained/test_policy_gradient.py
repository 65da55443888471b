"""Policy gradient: exact on a policy small enough to write out every outcome."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from lineas.errors import ConfigError
from lineas.fitting.text_problem import Continuations
from lineas.methods.trained.policy_gradient import PolicyGradient, Sampling, leave_one_out

REWARDS = torch.tensor([1.0, -0.5, 3.0], dtype=torch.float64)
BASE = torch.tensor([0.3, -0.2, 0.1], dtype=torch.float64)


class OneTokenPolicy:
    """Texts of one token of three: log π = log softmax(BASE + θ), θ only under the transform."""

    sizes = {"source": 3}

    def __init__(self, theta: Tensor) -> None:
        self.theta, self.active, self.draws = theta, False, itertools.cycle([0])

    @contextmanager
    def transforming(self, transform: Any) -> Any:
        self.active = True
        yield
        self.active = False

    def openings(self, group: str, indices: Sequence[int], tokens: int) -> list[list[int]]:
        return [[7] for _ in indices]

    def continued(self, openings: Sequence[Sequence[int]], tokens: int, seed: int) -> Continuations:
        drawn = [next(self.draws) for _ in openings]
        return Continuations([[7, d] for d in drawn], [1] * len(drawn), [str(d) for d in drawn])

    def log_likelihood(self, continuations: Continuations) -> Tensor:
        logits = BASE + self.theta if self.active else BASE
        return logits.log_softmax(0)[[ids[-1] for ids in continuations.ids]]


class Batches:
    def __init__(self, size: int) -> None:
        self.size = size

    def fitting(self, action: Any) -> Any:
        return action()


def reward(texts: Sequence[str]) -> list[float]:
    return [REWARDS[int(text)].item() for text in texts]


def estimator(theta: Tensor, openings: int, samples: int, divergence: float, batch: int = 100) -> Any:
    policy = OneTokenPolicy(theta)
    sampling = Sampling(openings, 1, 1, samples, divergence, 0)
    return policy, PolicyGradient(policy, Batches(batch), reward, sampling)  # type: ignore[arg-type]


@pytest.mark.parametrize("divergence", [0.0, 0.4])
def test_over_all_outcomes_it_is_the_gradient_of_the_expected_return(divergence: float) -> None:
    theta = torch.tensor([0.2, 0.5, -0.4], dtype=torch.float64, requires_grad=True)
    probability = (BASE + theta).softmax(0)
    drift = (BASE + theta).log_softmax(0) - BASE.log_softmax(0)
    (probability * (REWARDS - divergence * drift)).sum().backward()
    exact, theta.grad = theta.grad.clone(), None  # type: ignore[union-attr]
    expected = torch.zeros_like(exact)
    for draws in itertools.product(range(3), repeat=2):
        policy, gradient = estimator(theta, 1, 2, divergence)
        policy.draws = itertools.cycle(draws)
        gradient(lambda: None, [theta], 0)
        expected += probability.detach()[list(draws)].prod() * -theta.grad
    torch.testing.assert_close(expected, exact)


def test_micro_batches_give_the_same_gradient() -> None:
    theta = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    found = []
    for batch in (100, 1, 4):
        policy, gradient = estimator(theta, 2, 3, 0.1, batch)
        policy.draws = iter([0, 1, 2, 2, 1, 1])
        value = gradient(lambda: None, [theta], 0)
        found.append((value, theta.grad.clone()))  # type: ignore[union-attr]
    for value, gradient in found[1:]:
        assert value == pytest.approx(found[0][0])
        torch.testing.assert_close(gradient, found[0][1])


@settings(max_examples=20)
@given(st.integers(2, 6), st.integers(0, 100))
def test_the_baseline_of_a_sample_is_the_mean_of_its_siblings(count: int, seed: int) -> None:
    returns = torch.randn(3, count, generator=torch.Generator().manual_seed(seed))
    for opening, row in zip(returns, leave_one_out(returns), strict=True):
        for i in range(count):
            others = torch.cat([opening[:i], opening[i + 1 :]])
            torch.testing.assert_close(row[i], opening[i] - others.mean())


def test_every_source_text_is_continued_before_any_comes_again() -> None:
    _, gradient = estimator(torch.zeros(3), 2, 2, 0.0)
    seen = [index for _ in range(3) for index in gradient._next_openings()]
    assert sorted(seen[:3]) == sorted(seen[3:]) == [0, 1, 2]


@pytest.mark.parametrize("given", [[1.0], [1.0, float("nan"), 0.0, 0.0], [1.0] * 5])
def test_a_reward_that_is_no_number_for_each_text_is_refused(given: list[float]) -> None:
    theta = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    _, gradient = estimator(theta, 2, 2, 0.0)
    gradient._reward = lambda texts: given
    with pytest.raises(ConfigError, match="for 4 texts"):
        gradient(lambda: None, [theta], 0)
