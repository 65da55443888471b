"""The stacked family: several maps of one site as one, where they are not one map of their own family."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar, Literal

import torch
from torch import Tensor

from lineas.affine import AffineMap, UnitMap
from lineas.errors import MapError

if TYPE_CHECKING:
    from typing_extensions import Self

Mode = Literal["sequence", "sum"]


@dataclass(frozen=True, eq=False)
class StackedMap(UnitMap):
    """[…, d, …] -> the same shape: z + λ weight (S(z) − z).

    S is the parts one after the other ("sequence"), or z and the changes of all parts ("sum").

    parts: one or more maps of d units each. mode: "sequence" or "sum". weight: [], neutral 1.
    Its tensors are named by mode, place and family: "sequence.weight", "0.gated.shift", "1.affine.shift".
    """

    parts: tuple[UnitMap, ...]
    mode: Mode
    weight: Tensor

    kind: ClassVar[str] = "stacked"

    @classmethod
    def of(cls, first: UnitMap, second: UnitMap, mode: Mode) -> StackedMap:
        """Both maps as one; whole stacks of the same mode are laid flat. `MapError` for unlike widths."""
        if first.width != second.width:
            raise MapError(
                f"The maps have {first.width} and {second.width} units; they must act on one site."
            )
        parts = (part for map in (first, second) for part in cls._flat(map, mode))
        like = next(iter(first.tensors().values()))
        return cls(tuple(parts), mode, like.new_ones(()))

    @classmethod
    def identity(cls, width: int) -> StackedMap:
        """The map of `width` units that changes nothing."""
        return cls((AffineMap.identity(width),), "sequence", torch.ones(()))

    @property
    def width(self) -> int:
        return self.parts[0].width

    @property
    def support(self) -> Tensor:
        return torch.stack([part.support for part in self.parts]).any(0) & (self.weight != 0)

    def change(self, z: Tensor, axis: int) -> Tensor:
        weight = self.weight.to(z.dtype)
        if self.mode == "sum":
            return weight * torch.stack([part.change(z, axis) for part in self.parts]).sum(0)
        end = z
        for part in self.parts:
            end = part(end, 1.0, axis)
        return weight * (end - z)

    def at(self, strength: float) -> StackedMap:
        """The weight scaled by `strength`; the parts stay as they are."""
        return replace(self, weight=strength * self.weight)

    def check(self) -> None:
        if self.mode not in ("sequence", "sum"):
            raise MapError(
                f'A stacked map has the mode {str(self.mode)[:40]!r}, expected "sequence" or "sum".'
            )
        if self.weight.ndim or not bool(torch.isfinite(self.weight)):
            raise MapError("weight of a stacked map is not one finite number. Compose the maps again.")
        for part in self.parts:
            part.check()
            if part.width != self.width:
                raise MapError(f"A stacked map has parts of {self.width} and {part.width} units.")

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> StackedMap:
        parts = tuple(part.to(device, dtype) for part in self.parts)
        return replace(self, parts=parts, weight=self.weight.to(device=device, dtype=dtype))

    def tensors(self) -> dict[str, Tensor]:
        named = {f"{self.mode}.weight": self.weight}
        for place, part in enumerate(self.parts):
            named |= {f"{place}.{part.kind}.{name}": tensor for name, tensor in part.tensors().items()}
        return named

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor]) -> Self:
        from lineas.maps import map_from_tensors

        weights = [name for name in tensors if name in ("sequence.weight", "sum.weight")]
        found: dict[str, dict[str, Tensor]] = {}
        for name, tensor in tensors.items():
            first, _, rest = name.partition(".")
            if name not in weights:
                found.setdefault(first, {})[rest] = tensor
        if len(weights) != 1 or not found or set(found) != {str(i) for i in range(len(found))}:
            raise MapError(f"Tensors {sorted(tensors)[:4]} … do not make a stacked map, expected its own.")
        parts = []
        for place in range(len(found)):
            kinds = {name.partition(".")[0] for name in found[str(place)]}
            if len(kinds) != 1:
                raise MapError(
                    f"Part {place} of a stacked map is of the kinds {sorted(kinds)}, expected one."
                )
            named = {name.partition(".")[2]: tensor for name, tensor in found[str(place)].items()}
            parts.append(map_from_tensors(kinds.pop(), named))
        mode: Mode = "sum" if weights[0].startswith("sum") else "sequence"
        built = cls(tuple(parts), mode, tensors[weights[0]])
        built.check()
        return built

    @staticmethod
    def _flat(map: UnitMap, mode: Mode) -> tuple[UnitMap, ...]:
        if isinstance(map, StackedMap) and map.mode == mode and bool(map.weight == 1):
            return map.parts
        return (map,)


def join(first: UnitMap, second: UnitMap, mode: Mode) -> UnitMap:
    """Two maps of one site as one, `second` after `first` or as the sum of both: affine if both are."""
    if isinstance(first, AffineMap) and isinstance(second, AffineMap):
        return first.then(second) if mode == "sequence" else first.plus(second)
    return StackedMap.of(first, second, mode)
