"""PPO: advantages by hand, the clip, and a policy small enough to see that its reward rises."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from methods.trained.test_policy_gradient import BASE, REWARDS, Batches, OneTokenPolicy, reward
from toys.language import SOURCE, TARGET, model, tokenizer

from lineas import fit
from lineas.adapters.language.problem import LanguageProblem
from lineas.fitting.text_problem import Continuations
from lineas.methods.trained.policy_gradient import Sampling
from lineas.methods.trained.proximal_policy import (
    ProximalPolicy,
    continued,
    generalised_advantages,
    surrogate,
)


class DrawingPolicy(OneTokenPolicy):
    """Draws from its own distribution, and tells of each token."""

    def continued(self, openings: Any, tokens: int, seed: int) -> Continuations:
        chances = (BASE + self.theta.detach()).softmax(0)
        drawn = chances.multinomial(
            len(openings), True, generator=torch.Generator().manual_seed(seed)
        ).tolist()
        return Continuations([[7, d] for d in drawn], [1] * len(drawn), [str(d) for d in drawn])

    def token_chances(self, texts: Continuations) -> tuple[torch.Tensor, torch.Tensor]:
        return self.log_likelihood(texts)[:, None], torch.ones(len(texts.ids), 1, 2)


def test_the_reward_rises_and_drawn_texts_are_used_several_times() -> None:
    theta = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    policy = DrawingPolicy(theta)
    gradient = ProximalPolicy(policy, Batches(100), reward, Sampling(3, 1, 1, 16, 0.0, 0), 3)  # type: ignore
    optimizer, before = torch.optim.Adam([theta], 0.05), (BASE.softmax(0) @ REWARDS).item()
    for step in range(30):
        gradient(lambda: None, [theta], step)
        optimizer.step()
    assert gradient._generator is not None and ((BASE + theta).softmax(0) @ REWARDS).item() > before + 0.8


def test_a_chance_that_moved_far_enough_is_moved_no_further() -> None:
    moved = torch.tensor([0.5, -0.5, 0.5, -0.5], requires_grad=True)
    surrogate(moved, torch.tensor([1.0, -1.0, -1.0, 1.0])).sum().backward()
    assert moved.grad is not None and moved.grad[:2].tolist() == [0, 0] and (moved.grad[2:] != 0).all()


def test_advantages_are_the_weighted_errors_of_what_was_expected() -> None:
    rewards = torch.tensor([[9.0, 1.0, 2.0, 3.0, 9.0]])
    values, counts = (
        torch.tensor([[9.0, 0.5, 0.2, 0.7, 9.0]]),
        torch.tensor([[False, True, True, True, False]]),
    )
    errors = [1 + 0.2 - 0.5, 2 + 0.7 - 0.2, 3 - 0.7]
    expected = [errors[0] + 0.9 * errors[1] + 0.81 * errors[2], errors[1] + 0.9 * errors[2], errors[2]]
    got = generalised_advantages(rewards, values, counts, 0.9)
    torch.testing.assert_close(got, torch.tensor([[0.0, *expected, 0.0]]))


@torch.no_grad()
def test_a_language_models_tokens_add_up_to_its_continuations() -> None:
    problem = LanguageProblem(model("Llama"), tokenizer(), SOURCE, TARGET)
    texts = Continuations([[1, 5, 6, 7], [1, 8, 9]], [2, 1], ["", ""])
    chances, states = problem.token_chances(texts)
    assert states.shape == (2, 3, 16)
    torch.testing.assert_close((chances * continued(texts)).sum(1), problem.log_likelihood(texts))


def test_lofit_learns_by_it() -> None:
    def likes_long_words(texts: Any) -> list[float]:
        return [float(len(text)) for text in texts]

    options = {"steps": 4, "selection_steps": 2, "openings": 2, "samples": 2, "new_tokens": 3, "reuse": 2}
    steering = fit(
        model("Llama"),
        SOURCE,
        TARGET,
        tokenizer=tokenizer(),
        method="lofit",
        reward=likes_long_words,
        policy="ppo",
        **options,
    )
    assert steering.provenance.settings["policy"] == "ppo"
    assert 0 < steering.sparsity < 1 or pytest.fail("no unit was moved")
