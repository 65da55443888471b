"""The interface of a map, and the families that files and faces know by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, runtime_checkable

import torch
from torch import Tensor

from lineas.affine import AffineMap, UnitMap
from lineas.banded import BandedMap
from lineas.errors import MapError
from lineas.gated import GatedMap
from lineas.low_rank import LowRankMap
from lineas.stacked import StackedMap

if TYPE_CHECKING:
    from typing_extensions import Self


@runtime_checkable
class Map(Protocol):
    """[…, d, …] -> the same shape and dtype. What sites, files and methods ask of a map; see `UnitMap`."""

    kind: ClassVar[str]
    fusable: ClassVar[bool]

    @property
    def width(self) -> int: ...

    @property
    def support(self) -> Tensor: ...

    @property
    def is_identity(self) -> bool: ...

    def __call__(self, z: Tensor, strength: float | Tensor = 1.0, axis: int = -1) -> Tensor: ...

    def at(self, strength: float) -> Self: ...

    def inverse(self, min_scale: float = 0.05) -> tuple[Self, Tensor]: ...

    def then(self, other: Any) -> Self: ...

    def plus(self, other: Any) -> Self: ...

    def copied(self) -> Self: ...

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> Self: ...

    def tensors(self) -> dict[str, Tensor]: ...

    def check(self) -> None: ...


MAPS: dict[str, type[UnitMap]] = {
    family.kind: family for family in (AffineMap, BandedMap, GatedMap, LowRankMap, StackedMap)
}


def family(kind: str) -> type[UnitMap]:
    """The class of a family by its name. Raises `MapError` with the known names."""
    if kind not in MAPS:
        raise MapError(f"Unknown kind of map {kind!r}, expected one of {sorted(MAPS)}. Is lineas up to date?")
    return MAPS[kind]


def map_from_tensors(kind: str, tensors: Mapping[str, Tensor]) -> UnitMap:
    """Rebuild a map of the family `kind` from its `tensors()`. Raises `MapError` when they are impossible."""
    return family(kind).from_tensors(tensors)
