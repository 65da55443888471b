"""Texts: what a problem on a language model can do besides giving rows."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from lineas.errors import MismatchError
from lineas.fitting.problem import Group, Problem


@dataclass(frozen=True)
class Continuations:
    """Texts that the model went on with, one for each opening that was given.

    ids: token ids of opening and continuation. starts: how many of them are the opening. texts: the
    continuations alone, as people read them.
    """

    ids: list[list[int]]
    starts: list[int]
    texts: list[str]


class TextProblem(Problem):
    """A problem whose prompts are texts, which the model can weigh and continue as well as run.

    Methods that train on a language-model loss or on a reward need one; see `texts_of`.
    """

    is_text = True

    @abstractmethod
    def text_loss(self, group: Group, indices: Sequence[int]) -> Tensor:
        """[b] mean negative log-likelihood per token, in nats, of these texts of a group; differentiable.

        A text's first token is given, not predicted.
        """

    @abstractmethod
    def openings(self, group: Group, indices: Sequence[int], tokens: int) -> list[list[int]]:
        """Token ids of the first `tokens` tokens of these texts, special ones at the start included."""

    @abstractmethod
    def continued(self, openings: Sequence[Sequence[int]], tokens: int, seed: int) -> Continuations:
        """Every opening with up to `tokens` further tokens, drawn from the model's own distribution."""

    @abstractmethod
    def log_likelihood(self, continuations: Continuations) -> Tensor:
        """[b] log-likelihood, in nats, of each continuation after its opening; differentiable."""

    @abstractmethod
    def token_chances(self, continuations: Continuations) -> tuple[Tensor, Tensor]:
        """[b, s − 1] log-likelihood of every token but the first, in nats, differentiable; and [b, s − 1, d]
        the last hidden states that they are foretold from. Places beyond a text's end hold anything finite.
        """


def texts_of(problem: Problem, method: str) -> TextProblem:
    """The problem as one on texts. Raises `MismatchError` for other problems."""
    if isinstance(problem, TextProblem):
        return problem
    raise MismatchError(
        f"The method {method} learns from a language model's loss or from texts that it writes, which "
        f"{type(problem).__name__} does not have. It works on language models alone; for image pipelines "
        "take lineas, lin-act, mean-act, iti-c, caa, casteer, midsteer or aura."
    )
