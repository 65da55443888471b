"""The first-token family: a shift of each text's first token, which the tokens after it read."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from lineas.errors import MapError
from lineas.maps.base import Map, check_tensors
from lineas.maps.shift import ShiftParameters


class FirstTokenParameters(ShiftParameters):
    """The shift in units of each unit's spread, [d]."""

    reads_texts = True

    def map(self) -> Map:
        return FirstTokenMap(self.spread * self.shift)


@dataclass(frozen=True, eq=False)
class FirstTokenMap(Map):
    """[b, s, d] -> the same shape: z + λ shift at the first token of each text, z at all others.

    A causal language model attends to its first token where nothing else is called for, an attention sink
    (arXiv 2309.17453). What is put there is read by each later token as far as it sees fit, so that texts
    which the concept has no place in stay nearly as they are.

    shift: [d] neutral 0, in the activation's own units.
    first: [b or 1, s] bool, True at the first tokens; known while the model runs, see `placed`.
    """

    shift: Tensor
    first: Tensor | None = None

    kind: ClassVar[str] = "first_token"
    parameters = FirstTokenParameters

    @classmethod
    def names(cls) -> tuple[str, ...]:
        return ("shift",)

    @classmethod
    def identity(cls, width: int) -> FirstTokenMap:
        """The map of `width` units that changes nothing."""
        return cls(torch.zeros(width))

    @property
    def width(self) -> int:
        return self.shift.numel()

    @property
    def support(self) -> Tensor:
        return self.shift != 0

    @property
    def needs_tokens(self) -> bool:
        return True

    @property
    def at_start(self) -> bool:
        return True

    def placed(self, real: Tensor) -> FirstTokenMap:
        return replace(self, first=real)

    def change(self, z: Tensor, axis: int) -> Tensor:
        if self.first is None or axis % z.ndim != z.ndim - 1 or self.first.ndim != z.ndim - 1:
            raise MapError(
                f"A first-token map acts on the tokens [b, s, d] of a language model, got {list(z.shape)}. "
                "Keep it at the sites that it was fitted on."
            )
        return torch.where(self.first.to(z.device)[..., None], self.shift.to(z.dtype), 0.0).expand_as(z)

    def at(self, strength: float) -> FirstTokenMap:
        return replace(self, shift=strength * self.shift)

    def inverse(self, min_scale: float = 0.05) -> tuple[FirstTokenMap, Tensor]:
        """The shift the other way; no unit has to be limited, whatever `min_scale` is."""
        return self.at(-1.0), torch.zeros_like(self.support)

    def then(self, other: Map) -> FirstTokenMap:
        """Both shifts in one."""
        return self.plus(other)

    def plus(self, other: Map) -> FirstTokenMap:
        """Both shifts in one; `MapError` with a map of another family."""
        if not isinstance(other, FirstTokenMap):
            return super().plus(other)
        return replace(self, shift=self.shift + other.shift)

    def check(self) -> None:
        check_tensors(self, {"shift": (self.width,)})
