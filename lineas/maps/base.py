"""What all families of maps share: how a map is called, stored and rebuilt, and the families by name."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor

from lineas.errors import MapError

if TYPE_CHECKING:
    from typing_extensions import Self

    from lineas.maps.affine import AffineMap
    from lineas.maps.parameters import Parameters

FAMILIES: dict[str, type[Map]] = {}
"""Every family by its `kind`; a class joins when it is defined."""


def along(vector: Tensor, axis: int, like: Tensor, dtype: torch.dtype | None = None) -> Tensor:
    """[d] -> a view in `dtype`, `like`'s own for None, that broadcasts along unit axis `axis` of `like`."""
    shape = [1] * like.ndim
    shape[axis] = -1
    return vector.to(dtype or like.dtype).view(shape)


@dataclass(frozen=True, eq=False)
class Map(ABC):
    """[…, d, …] -> the same shape and dtype: z + λ · change(z), d units on one axis.

    A family is a frozen dataclass whose fields are its tensors; it writes `width`, `support`, `change`, `at`
    and `check`. It overrides `inverse`, `then` and `plus` where it is closed under them, and `affine` where
    its maps are affine ones, which fold into weights.

    kind: the family's name in files and options. parameters: what training moves, None where LinEAS cannot
    train the family. sparse: its tensors are mostly zeros, which files leave out.
    """

    kind: ClassVar[str]
    parameters: ClassVar[type[Parameters] | None] = None
    sparse: ClassVar[bool] = False

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        FAMILIES[cls.kind] = cls

    @property
    @abstractmethod
    def width(self) -> int:
        """d, the number of units."""

    @property
    @abstractmethod
    def support(self) -> Tensor:
        """[d] bool: the units that the map can change."""

    @abstractmethod
    def change(self, z: Tensor, axis: int) -> Tensor:
        """[…, d, …] -> what strength 1 adds to z; z is float32 or float64 here."""

    @abstractmethod
    def at(self, strength: float) -> Self:
        """The map that does at strength 1 what this one does at `strength` (0 identity, 1 unchanged)."""

    @abstractmethod
    def check(self) -> None:
        """Raise `MapError` when a tensor has a wrong shape or holds NaN or infinity."""

    def __call__(self, z: Tensor, strength: float | Tensor = 1.0, axis: int = -1) -> Tensor:
        """[…, d, …] -> the same shape and dtype; computed in float32, or in float64 when z is float64.

        `strength` λ: 0 is off and returns z itself, 1 is full, other values extrapolate. A tensor is a mask:
        it broadcasts to z and has size 1 on the unit axis. Raises `MapError` when z or the mask does not fit.
        """
        if not isinstance(strength, Tensor) and strength == 0:
            return z
        self._check_input(z, strength, axis)
        if not isinstance(strength, Tensor) and self._learns(z):
            step = self.step(z, strength, axis)
            if step is not None:
                return step
        work = z.to(torch.promote_types(z.dtype, torch.float32))
        if isinstance(strength, Tensor):
            return torch.addcmul(work, self.change(work, axis), strength.to(work.dtype)).to(z.dtype)
        return self.moved(work, strength, axis).to(z.dtype)

    def moved(self, z: Tensor, strength: float, axis: int) -> Tensor:
        """[…, d, …] -> z + strength · change(z), a new tensor; z is float32 or float64 here."""
        return torch.add(z, self.change(z, axis), alpha=strength)

    def step(self, z: Tensor, strength: float, axis: int) -> Tensor | None:
        """The same where gradients are wanted, keeping z and little else for them; None: there is no such."""
        return None

    def _learns(self, z: Tensor) -> bool:
        wanted = (tensor.requires_grad for tensor in (z, *self.tensors().values()))
        return torch.is_grad_enabled() and any(wanted)

    def inverse(self, min_scale: float = 0.05) -> tuple[Self, Tensor]:
        """The map that undoes this one; `MapError` where the family has none."""
        raise MapError(
            f"A {self.kind} map has no inverse. Fit the opposite direction (swap source and target prompts), "
            "or use a negative strength, which extrapolates and does not undo."
        )

    def then(self, other: Map) -> Self:
        """`other` after this map, as one map; `MapError` where that is not one map of the family."""
        raise MapError(
            f"A {self.kind} map followed by another map is not one {self.kind} map. "
            "Apply both: steer(model, [a, b])."
        )

    def plus(self, other: Map) -> Self:
        """The map whose change is the sum of both changes; `MapError` where the family has no such map."""
        raise MapError(f"A {self.kind} map cannot be added to another map. Apply both: steer(model, [a, b]).")

    def affine(self) -> AffineMap | None:
        """The same map as an affine one, None where it depends on the activation in another way."""
        return None

    @property
    def needs_tokens(self) -> bool:
        """True where the map acts by the place of a prompt's tokens, which `placed` tells it."""
        return False

    def placed(self, real: Tensor) -> Self:
        """[b, s] bool, True at the tokens of each prompt with start and end -> the map for this run.

        `at_start`: True at the first tokens alone.
        """
        return self

    @property
    def at_start(self) -> bool:
        """True where `placed` wants the first token of each text of a language model, and no other."""
        return False

    @property
    def slots(self) -> int:
        """Positions behind a prompt that the map takes for itself."""
        return 0

    def behind(self, slots: int) -> Self:
        """The map that leaves the first `slots` positions behind a prompt to others."""
        return self

    @property
    def is_identity(self) -> bool:
        """True when no unit can change."""
        return not bool(self.support.any())

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> Self:
        """The same map on another device or in another floating dtype."""
        return self.with_tensors(lambda tensor: tensor.to(device=device, dtype=dtype))

    def copied(self) -> Self:
        """The same map in detached tensors of its own."""
        return self.with_tensors(lambda tensor: tensor.detach().clone())

    def with_tensors(self, change: Callable[[Tensor], Tensor]) -> Self:
        """The map of the changed tensors."""
        return replace(self, **{name: change(tensor) for name, tensor in self.tensors().items()})

    def tensors(self) -> dict[str, Tensor]:
        """The tensors by field name, as `from_tensors` takes them."""
        return {name: getattr(self, name) for name in self.names()}

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """The names of the family's tensors, in a fixed order."""
        return tuple(field.name for field in fields(cls))

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor]) -> Self:
        """Rebuild a map from `tensors()`. `MapError` on missing, extra, misshapen or non-finite ones."""
        if set(tensors) != set(cls.names()):
            raise MapError(
                f"A map of kind {cls.kind!r} needs the tensors {sorted(cls.names())}, got {sorted(tensors)}."
            )
        built = cls(**tensors)
        built.check()
        return built

    def _check_input(self, z: Tensor, strength: float | Tensor, axis: int) -> None:
        if not z.is_floating_point():
            raise MapError(f"A map acts on floating activations, got {z.dtype}.")
        if not -z.ndim <= axis < z.ndim or z.shape[axis] != self.width:
            raise MapError(
                f"The map has {self.width} units, the activation has shape {list(z.shape)} with units on "
                f"axis {axis}. Give the axis that holds the units, or a map made for this width."
            )
        if isinstance(strength, Tensor) and not _broadcasts(strength.shape, z.shape):
            raise MapError(
                f"A strength mask of shape {list(strength.shape)} does not broadcast to an activation of "
                f"shape {list(z.shape)}. Resize it, with size 1 on the unit axis."
            )


def check_tensors(map: Map, shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Raise `MapError` unless every tensor of `map` is floating, finite and of the given shape."""
    for name, tensor in map.tensors().items():
        if not tensor.is_floating_point():
            raise MapError(f"{name} of a {map.kind} map has dtype {tensor.dtype}, expected a floating one.")
        if tuple(tensor.shape) != shapes[name]:
            raise MapError(
                f"{name} of a {map.kind} map has shape {list(tensor.shape)}, expected {list(shapes[name])}."
            )
        if not bool(torch.isfinite(tensor).all()):
            raise MapError(f"{name} of a {map.kind} map holds NaN or infinity. Fit it again.")


def _broadcasts(shape: torch.Size, onto: torch.Size) -> bool:
    extra = len(onto) - len(shape)
    return extra >= 0 and all(a in (1, b) for a, b in zip(shape, onto[extra:], strict=True))


def family(kind: str) -> type[Map]:
    """The class of a family by its name. Raises `MapError` with the known names."""
    if kind not in FAMILIES:
        raise MapError(
            f"Unknown kind of map {kind!r}, expected one of {sorted(FAMILIES)}. Is lineas up to date?"
        )
    return FAMILIES[kind]


def trainable(texts: bool = True) -> list[str]:
    """The families that LinEAS trains, by name. texts: also those that are for language models alone."""
    found = {kind: each.parameters for kind, each in sorted(FAMILIES.items()) if each.parameters is not None}
    return [kind for kind, each in found.items() if texts or not each.reads_texts]


def map_from_tensors(kind: str, tensors: Mapping[str, Tensor]) -> Map:
    """Rebuild a map of the family `kind` from its `tensors()`. Raises `MapError` when they are impossible."""
    return family(kind).from_tensors(tensors)
