"""Progress: what a training run tells after each step."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from lineas.steering import Site, Steering

if TYPE_CHECKING:
    from lineas.training import Trainer


@dataclass(frozen=True)
class Progress:
    """What a callback sees after each step.

    step: 1 is the first. steps: the most there will be. cost: Σ W2² as the paper writes it, in squared
    activation units. objective: what is being lowered (standardised cost and preserve term), without
    penalty. preserve: its preserve part. site_costs: the paper's cost per site. These four were measured just
    before the step moved the maps. learning_rate, sparsity (0..1): of the step. seconds: spent on steps.
    """

    step: int
    steps: int
    cost: float
    objective: float
    preserve: float
    learning_rate: float
    sparsity: float
    seconds: float
    trainer: Trainer = field(repr=False)
    site_costs: Mapping[Site, float] = field(repr=False, default_factory=dict)

    def steering(self) -> Steering:
        """The newest steering, to look at or to save."""
        return self.trainer.steering()


Callback = Callable[[Progress], Any]
"""Called after each step; returning True stops the training, and what was learned is kept."""
