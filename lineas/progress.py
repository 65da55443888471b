"""Progress: what a fit tells after each step."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from lineas.steering import Site, Steering

if TYPE_CHECKING:
    from lineas.training import Trainer


@dataclass(frozen=True, kw_only=True)
class Advance:
    """What a callback sees after each step of any method; a step may be a site or a pass over the prompts.

    step: 1 is the first. steps: the most there will be. seconds: since the fit began. objective: what is
    being lowered, measured just before the step; NaN for methods that lower nothing step by step.
    snapshot: gives the newest steering.
    """

    step: int
    steps: int
    seconds: float
    objective: float = float("nan")
    snapshot: Callable[[], Steering] | None = field(repr=False, default=None)

    def steering(self) -> Steering:
        """The newest steering, to look at or to save."""
        assert self.snapshot is not None
        return self.snapshot()


@dataclass(frozen=True, kw_only=True)
class Progress(Advance):
    """What a callback sees after each step of LinEAS.

    step: 1 is the first. steps: the most there will be. cost: Σ W2² as the paper writes it, in squared
    activation units. objective: what is being lowered (standardised cost and preserve term), without
    penalty. preserve: its preserve part. site_costs: the paper's cost per site. These four were measured just
    before the step moved the maps. learning_rate, sparsity (0..1): of the step. seconds: spent on steps.
    """

    cost: float
    preserve: float
    learning_rate: float
    sparsity: float
    trainer: Trainer = field(repr=False)
    site_costs: Mapping[Site, float] = field(repr=False, default_factory=dict)

    def steering(self) -> Steering:
        """The newest steering, to look at or to save."""
        return self.trainer.steering()


AnyCallback = Callable[[Advance], Any]
"""Called after each step of any method; returning True stops the fit, and what was learned is kept."""

Callback = Callable[[Progress], Any]
"""Called after each step; returning True stops the training, and what was learned is kept."""
