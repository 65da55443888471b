"""The stacked family: what steerings of maps that depend on the activation are composed into."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor
from toys.models import affine, gated

from lineas.errors import MapError
from lineas.maps.affine import AffineMap
from lineas.maps.base import Map, map_from_tensors
from lineas.maps.stacked import Mode, StackedMap, join
from lineas.steering.site import Site
from lineas.steering.steering import Steering

WIDTH = 4
A, B, C = gated(WIDTH, 1), gated(WIDTH, 2), affine(WIDTH, 5)


@pytest.fixture
def z() -> Tensor:
    return torch.randn(2, 3, WIDTH, generator=torch.Generator().manual_seed(1))


def test_a_sequence_is_one_map_after_the_other(z: Tensor) -> None:
    torch.testing.assert_close(join(A, B, "sequence")(z), B(A(z)))
    assert not torch.allclose(B(A(z)), A(B(z)))


def test_a_sum_adds_the_changes(z: Tensor) -> None:
    torch.testing.assert_close(join(A, C, "sum")(z), A(z) + C(z) - z)
    torch.testing.assert_close(join(A, C, "sum")(z), join(C, A, "sum")(z))


def test_strength_extrapolates_the_whole_stack(z: Tensor) -> None:
    stack = join(A, B, "sequence")
    assert {name.rpartition(".")[0] for name in stack.tensors()} == {"sequence", "0.gated", "1.gated"}
    torch.testing.assert_close(stack.at(0.5)(z), z + 0.5 * (B(A(z)) - z))
    torch.testing.assert_close(join(stack.at(0.5), C, "sequence")(z), C(stack.at(0.5)(z)))


def test_stacks_of_one_mode_lie_flat_and_others_nest(z: Tensor) -> None:
    flat = join(join(A, B, "sequence"), C, "sequence")
    assert isinstance(flat, StackedMap) and len(flat.parts) == 3
    torch.testing.assert_close(flat(z), C(B(A(z))))
    nested = join(join(A, B, "sum"), C, "sequence")
    torch.testing.assert_close(nested(z), C(A(z) + B(z) - z))
    torch.testing.assert_close(map_from_tensors("stacked", nested.tensors())(z), nested(z))


def test_two_affine_maps_stay_affine_and_can_be_fused() -> None:
    for mode in ("sequence", "sum"):
        assert isinstance(join(C, affine(WIDTH, 6), mode), AffineMap)  # type: ignore[arg-type]


def test_units_on_another_axis_and_masks(z: Tensor) -> None:
    stack, image = join(A, B, "sequence"), z.movedim(-1, 1)
    torch.testing.assert_close(stack(image, 1.0, 1), stack(z).movedim(-1, 1))
    mask = torch.tensor([1.0, 0.0, 0.5]).view(1, 3, 1)
    torch.testing.assert_close(stack(z, mask), z + mask * (stack(z) - z))


def test_a_composed_steering_goes_through_its_file(tmp_path: Path, z: Tensor) -> None:
    site = Site("unet.norm")
    for mode in ("sequence", "sum"):
        one = Steering({site: A}).compose(Steering({site: B}), mode, (0.5, 1.0))  # type: ignore[arg-type]
        one = one.compose(Steering({site: C}))
        one.save(tmp_path / "both.safetensors")
        again = Steering.load(tmp_path / "both.safetensors")
        assert again.allclose(one)
        torch.testing.assert_close(again.maps[site](z), one.maps[site](z))


def test_stacks_are_alike_when_mode_parts_and_numbers_are() -> None:
    def one(second: Map, mode: Mode) -> Steering:
        return Steering({Site("unet.norm"): join(A, second, mode)})

    assert one(B, "sum").allclose(one(gated(WIDTH, 2), "sum"))
    for other in (
        one(B, "sequence"),
        one(C, "sum"),
        one(join(B, C, "sum"), "sum"),
        one(gated(WIDTH, 9), "sum"),
    ):
        assert not one(B, "sum").allclose(other)


def test_a_stack_of_more_than_ten_keeps_its_order(z: Tensor) -> None:
    stack: Map = A
    for seed in range(11):
        stack = join(stack, gated(WIDTH, 20 + seed), "sequence")
    torch.testing.assert_close(map_from_tensors("stacked", stack.tensors())(z), stack(z))


def test_impossible_stacks_are_refused() -> None:
    with pytest.raises(MapError, match="4 and 5 units"):
        join(A, gated(5), "sum")
    whole = dict(join(A, B, "sum").tensors())
    for name in ("sum.weight", "0.gated.shift"):
        with pytest.raises(MapError):
            map_from_tensors("stacked", {n: t for n, t in whole.items() if n != name})
    for extra in ("sequence.weight", "7.gated.shift", "0.affine.shift", "0.pickle.shift", "shift"):
        with pytest.raises(MapError):
            map_from_tensors("stacked", {**whole, extra: torch.zeros(WIDTH)})
    with pytest.raises(MapError, match="finite"):
        map_from_tensors("stacked", {**whole, "sum.weight": torch.tensor(float("nan"))})
    with pytest.raises(MapError, match="inverse"):
        join(A, B, "sum").inverse()
