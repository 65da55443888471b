"""What training moves: a few numbers per unit, in units of the unit's own spread, that make a map."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from lineas.maps.base import Map


@dataclass(frozen=True, eq=False)
class Start:
    """What is known of one site before training.

    spread: [d] the unit that a shift is measured in; ones for the paper's raw parameters.
    center: [d] where a scale pivots, so that scale and shift do not fight; zeros for raw parameters.
    source, target: [n, p, d] p positions of each prompt in the untouched model; None where the family asks
    for none. behind: [n, k, d] those of the source prompts from the end token on, or the last k up to it
    where what stands behind it does not reach the image model; likewise. seen: whether it does.
    """

    spread: Tensor
    center: Tensor
    source: Tensor | None = None
    target: Tensor | None = None
    behind: Tensor | None = None
    seen: bool = True


class Parameters(ABC):
    """The parameters of one map, all zero where it changes nothing; most families begin there."""

    positions: ClassVar[int] = 0
    """Positions of each prompt that the family starts from; 0 asks for none."""
    slots: ClassVar[int] = 0
    """Positions from its end token on, or up to it, that it starts from besides."""
    reads_texts: ClassVar[bool] = False
    """Whether the family is for language models alone."""

    @abstractmethod
    def __init__(self, start: Start) -> None:
        """Parameters that ask for a gradient, on the device of `start`."""

    @abstractmethod
    def penalised(self) -> list[Tensor]:
        """The parameters that the sparse group lasso shrinks."""

    @abstractmethod
    def map(self) -> Map:
        """The map; gradients flow through it to the parameters."""

    def free(self) -> list[Tensor]:
        """The parameters that no penalty touches."""
        return []

    def all(self) -> list[Tensor]:
        """Every parameter, in a fixed order."""
        return [*self.penalised(), *self.free()]

    def gradients(self) -> list[Tensor]:
        """The gradients that there are."""
        return [p.grad for p in self.all() if p.grad is not None]

    def forget_gradients(self) -> None:
        """As if no backward pass had been."""
        for parameter in self.all():
            parameter.grad = None
