"""The stacked family: several maps of one site as one, where they are not one map of their own family."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar, Literal, get_args

import torch
from torch import Tensor

from lineas.errors import MapError
from lineas.maps.base import Map, map_from_tensors

if TYPE_CHECKING:
    from typing_extensions import Self

Mode = Literal["sequence", "sum"]
MODES: tuple[Mode, ...] = get_args(Mode)


@dataclass(frozen=True, eq=False)
class StackedMap(Map):
    """[…, d, …] -> the same shape: z + λ weight (S(z) − z).

    S is the parts one after the other ("sequence"), or z and the changes of all parts ("sum").

    parts: one or more maps of d units each. mode: "sequence" or "sum". weight: [], neutral 1.
    Its tensors are named by mode, place and family: "sequence.weight", "0.gated.shift", "1.affine.shift".
    """

    parts: tuple[Map, ...]
    mode: Mode
    weight: Tensor

    kind: ClassVar[str] = "stacked"

    @classmethod
    def of(cls, first: Map, second: Map, mode: Mode) -> StackedMap:
        """Both maps as one; whole stacks of the same mode are laid flat. `MapError` for unlike widths."""
        if first.width != second.width:
            raise MapError(
                f"The maps have {first.width} and {second.width} units; they must act on one site."
            )
        parts = (part for map in (first, second) for part in cls._flat(map, mode))
        like = next(iter(first.tensors().values()))
        return cls(tuple(parts), mode, like.new_ones(()))

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

    @property
    def needs_tokens(self) -> bool:
        return any(part.needs_tokens for part in self.parts)

    @property
    def at_start(self) -> bool:
        return any(part.at_start for part in self.parts)

    def placed(self, real: Tensor) -> StackedMap:
        return replace(self, parts=tuple(part.placed(real) for part in self.parts))

    @property
    def slots(self) -> int:
        return max(part.slots for part in self.parts)

    def behind(self, slots: int) -> StackedMap:
        return replace(self, parts=tuple(part.behind(slots) for part in self.parts))

    def at(self, strength: float) -> StackedMap:
        """The weight scaled by `strength`; the parts stay as they are."""
        return replace(self, weight=strength * self.weight)

    def check(self) -> None:
        if self.mode not in MODES:
            raise MapError(
                f'A stacked map has the mode {str(self.mode)[:40]!r}, expected "sequence" or "sum".'
            )
        if self.weight.ndim or not bool(torch.isfinite(self.weight)):
            raise MapError("weight of a stacked map is not one finite number. Compose the maps again.")
        for part in self.parts:
            part.check()
            if part.width != self.width:
                raise MapError(f"A stacked map has parts of {self.width} and {part.width} units.")

    def with_tensors(self, change: Callable[[Tensor], Tensor]) -> StackedMap:
        parts = tuple(part.with_tensors(change) for part in self.parts)
        return replace(self, parts=parts, weight=change(self.weight))

    def tensors(self) -> dict[str, Tensor]:
        named = {f"{self.mode}.weight": self.weight}
        for place, part in enumerate(self.parts):
            named |= {f"{place}.{part.kind}.{name}": tensor for name, tensor in part.tensors().items()}
        return named

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor]) -> Self:
        modes: list[Mode] = [mode for mode in MODES if f"{mode}.weight" in tensors]
        found: dict[tuple[str, str], dict[str, Tensor]] = {}
        for name in set(tensors) - {f"{mode}.weight" for mode in modes}:
            place, kind, own = (*name.split(".", 2), "", "")[:3]
            found.setdefault((place, kind), {})[own] = tensors[name]
        places = sorted(place for place, _ in found)
        if len(modes) != 1 or not found or places != sorted(map(str, range(len(found)))):
            raise MapError(f"The tensors {sorted(tensors)[:4]} … are not those of a stacked map.")
        parts = (map_from_tensors(kind, found[place, kind]) for place, kind in sorted(found, key=_place))
        built = cls(tuple(parts), modes[0], tensors[f"{modes[0]}.weight"])
        built.check()
        return built

    @staticmethod
    def _flat(map: Map, mode: Mode) -> tuple[Map, ...]:
        if isinstance(map, StackedMap) and map.mode == mode and bool(map.weight == 1):
            return map.parts
        return (map,)


def _place(key: tuple[str, str]) -> int:
    return int(key[0])


def join(first: Map, second: Map, mode: Mode) -> Map:
    """Two maps of one site as one, `second` after `first` or as the sum of both: affine if both are."""
    one, two = first.affine(), second.affine()
    if one is not None and two is not None:
        return one.then(two) if mode == "sequence" else one.plus(two)
    return StackedMap.of(first, second, mode)
