"""Proximal policy: raises the reward of what the model writes, by PPO with a value head and reuse."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lineas.fitting.micro_batches import MicroBatches
from lineas.fitting.text_problem import Continuations, TextProblem
from lineas.methods.trained.descent import MakeTransform, forget_gradients
from lineas.methods.trained.policy_gradient import PolicyGradient, Reward, Sampling

CLIP = 0.2
"""How far the chance of a token may move from the one it was drawn with; beyond, it gains nothing."""
DECAY = 0.95
"""λ of generalised advantages: 1 trusts returns alone, 0 the value head alone."""
VALUE_RATE = 0.01


@dataclass
class _Rollout:
    """Texts that were written, and per token, [b, t]: log chance then, advantage, return, and which count."""

    texts: Continuations
    drawn: Tensor
    advantages: Tensor
    returns: Tensor
    counts: Tensor


class ProximalPolicy(PolicyGradient):
    """The clipped surrogate of sampled continuations, each used in `reuse` steps, with its sign turned.

    Source: PPO (arXiv 1707.06347) as for language models (arXiv 1909.08593): the reward at the last token,
    minus `divergence` times log π / π₀ at each, π₀ the untouched model; generalised advantages (arXiv
    1506.02438) over a value head, a linear map of the last hidden state that learns beside the maps and is
    not kept.
    """

    def __init__(
        self,
        problem: TextProblem,
        batches: MicroBatches,
        reward: Reward,
        sampling: Sampling,
        reuse: int,
    ) -> None:
        super().__init__(problem, batches, reward, sampling)
        self._reuse = reuse
        self._head: nn.Linear | None = None
        self._optimizer: torch.optim.Optimizer | None = None
        self._chosen: list[int] = []
        self._rolled: list[_Rollout] = []
        self._size = -1

    def __call__(self, transform: MakeTransform, parameters: Sequence[Tensor], step: int) -> float:
        if step % self._reuse == 0 or not self._chosen:
            self._chosen, self._size = self._next_openings(), -1

        def accumulate() -> float:
            if self._size != self._batches.size:  # new openings, or memory ran short
                self._rolled, self._size = self._roll_out(transform, step), self._batches.size
            forget_gradients(parameters)
            return self._pass(transform)

        return self._batches.fitting(accumulate)

    def _pass(self, transform: MakeTransform) -> float:
        """Gradients of one use of the rollouts, and a step of the value head."""
        assert self._head is not None and self._optimizer is not None
        total = sum(int(each.counts.sum()) for each in self._rolled)
        self._optimizer.zero_grad()
        for each in self._rolled:
            with self._problem.transforming(transform()):
                chances, states = self._problem.token_chances(each.texts)
                gain = surrogate(chances.float() - each.drawn, each.advantages)
                loss = -(gain * each.counts).sum() / total
                loss.backward()
            error = (self._values(states.detach()) - each.returns).square()
            ((error * each.counts).sum() / total).backward()
        self._optimizer.step()
        texts = sum(len(each.texts.ids) for each in self._rolled)
        return -sum(float(each.returns[:, 0].sum()) for each in self._rolled) / texts

    @torch.no_grad()
    def _roll_out(self, transform: MakeTransform, step: int) -> list[_Rollout]:
        found = [self._weighed(transform, part) for part in self._written(transform, self._chosen, step)]
        pooled = torch.cat([each.advantages[each.counts] for each in found])
        for each in found:
            each.advantages = (each.advantages - pooled.mean()) / (pooled.std() + 1e-8) * each.counts
        return found

    def _weighed(self, transform: MakeTransform, texts: Continuations) -> _Rollout:
        with self._problem.transforming(transform()):
            drawn, states = self._problem.token_chances(texts)
        plain, _ = self._problem.token_chances(texts)
        counts = continued(texts).to(drawn.device)
        rewards = -self._sampling.divergence * (drawn - plain).float() * counts
        last = counts.sum(1) - 1 + torch.tensor(texts.starts, device=drawn.device) - 1
        scores = torch.tensor(self._scores(texts), device=drawn.device, dtype=rewards.dtype)
        has_text = counts.any(1)
        rewards[has_text, last[has_text]] += scores[has_text]
        values = self._values(states) * counts
        advantages = generalised_advantages(rewards, values, counts)
        return _Rollout(texts, drawn.float(), advantages, advantages + values, counts)

    def _values(self, states: Tensor) -> Tensor:
        """[b, t, d] last hidden states -> [b, t] what is expected from there on."""
        with torch.inference_mode(False), torch.enable_grad():
            states = nn.functional.layer_norm(states.detach().float().clone(), states.shape[-1:])
            if self._head is None:
                self._head = nn.Linear(states.shape[-1], 1).to(states.device)
                nn.init.zeros_(self._head.weight)
                nn.init.zeros_(self._head.bias)
                self._optimizer = torch.optim.Adam(self._head.parameters(), lr=VALUE_RATE)
            values: Tensor = self._head(states)[..., 0]
        return values if torch.is_grad_enabled() else values.detach()


def surrogate(moved: Tensor, advantages: Tensor, clip: float = CLIP) -> Tensor:
    """log π / π_drawn and advantages of tokens -> what is raised: equation 7 of arXiv 1707.06347."""
    ratio = moved.exp()
    return torch.minimum(ratio * advantages, ratio.clamp(1 - clip, 1 + clip) * advantages)


def generalised_advantages(rewards: Tensor, values: Tensor, counts: Tensor, decay: float = DECAY) -> Tensor:
    """[b, t] each -> [b, t] advantages of the tokens that count, else 0; after the last, nothing is expected.

    Source: equation 16 of arXiv 1506.02438, undiscounted.
    """
    advantages, later = torch.zeros_like(rewards), torch.zeros_like(rewards[:, 0])
    expected = torch.zeros_like(later)
    for place in reversed(range(rewards.shape[1])):
        here = counts[:, place]
        later = torch.where(here, rewards[:, place] + expected - values[:, place] + decay * later, 0.0)
        expected = torch.where(here, values[:, place], 0.0)
        advantages[:, place] = later
    return advantages


def continued(texts: Continuations) -> Tensor:
    """[b, t] bool: the tokens after the opening, where place t is the token t + 1 of the text."""
    place = torch.arange(1, max(map(len, texts.ids)))
    lengths = torch.tensor([len(ids) for ids in texts.ids])[:, None]
    return (place >= torch.tensor(texts.starts)[:, None]) & (place < lengths)
