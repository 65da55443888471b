"""Steps with gradients of their own: the same values and slopes as written out, and less that is kept."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from lineas.maps.affine import AffineMap
from lineas.maps.base import Map
from lineas.maps.gated import GatedMap

WIDTH = 4
LAYOUTS = {
    "tokens": ((2, 3, WIDTH), -1, (0, 1, 2)),
    "tokens, transposed": ((2, 3, WIDTH), -1, (0, 2, 1)),
    "pixels": ((2, WIDTH, 3, 2), 1, (0, 1, 2, 3)),
    "pixels, channels last": ((2, WIDTH, 3, 2), 1, (0, 2, 3, 1)),
    "units first": ((WIDTH, 5), 0, (0, 1)),
    "in the middle": ((2, 3, WIDTH, 2), 2, (0, 1, 2, 3)),
    "one position": ((WIDTH,), -1, (0,)),
}
FAMILIES = {"affine": AffineMap, "gated": GatedMap}


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def tensors_of(kind: str) -> list[Tensor]:
    """In the order of the fields, each asking for a gradient."""
    vectors = [*normal(5, WIDTH, seed=3), normal(WIDTH, seed=4).exp()]
    made = vectors[:2] if kind == "affine" else [*vectors[:3], normal(1)[0], vectors[4], vectors[5]]
    return [tensor.clone().requires_grad_() for tensor in made]


def laid_out(shape: tuple[int, ...], order: tuple[int, ...], dtype: torch.dtype = torch.float64) -> Tensor:
    """Numbers whose axes lie in memory in this order."""
    back = [order.index(axis) for axis in range(len(order))]
    return normal(*(shape[axis] for axis in order), seed=7).to(dtype).permute(back)


def written_out(map: Map, z: Tensor, strength: float, axis: int) -> Tensor:
    return z + strength * map.change(z, axis)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("kind", FAMILIES)
def test_values_and_slopes_are_those_of_the_map_written_out(kind: str, layout: str) -> None:
    shape, axis, order = LAYOUTS[layout]
    z, tensors = laid_out(shape, order).requires_grad_(), tensors_of(kind)
    map = FAMILIES[kind](*tensors)
    got, expected = map(z, 0.7, axis), written_out(map, z, 0.7, axis)
    torch.testing.assert_close(got, expected)
    weights = laid_out(shape, order).cos()
    slopes = [torch.autograd.grad((out * weights).sum(), [z, *tensors]) for out in (got, expected)]
    torch.testing.assert_close(slopes[0], slopes[1])


@pytest.mark.parametrize("kind", FAMILIES)
def test_a_gradient_that_is_one_number_for_all_serves_too(kind: str) -> None:
    z, tensors = normal(2, WIDTH, 3, 2).requires_grad_(), tensors_of(kind)
    map = FAMILIES[kind](*tensors)
    slopes = [
        torch.autograd.grad(out.sum(), [z, *tensors]) for out in (map(z, 1.0, 1), written_out(map, z, 1.0, 1))
    ]
    torch.testing.assert_close(slopes[0], slopes[1])


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("layout", ["tokens", "pixels"])
@pytest.mark.parametrize("kind", FAMILIES)
def test_half_precision_gives_float32_slopes_close_to_the_exact_ones(
    kind: str, layout: str, dtype: torch.dtype
) -> None:
    shape, axis, order = LAYOUTS[layout]
    z = laid_out(shape, order, dtype).requires_grad_()
    tensors = [tensor.detach().float().requires_grad_() for tensor in tensors_of(kind)]
    got = FAMILIES[kind](*tensors)(z, 1.0, axis)
    got.float().square().sum().backward()
    assert got.dtype == z.grad.dtype == dtype
    exact_z = z.detach().double().requires_grad_()
    exact = [tensor.detach().double().requires_grad_() for tensor in tensors]
    written_out(FAMILIES[kind](*exact), exact_z, 1.0, axis).square().sum().backward()
    for one, two in zip(tensors, exact, strict=True):
        assert one.grad is not None and one.grad.dtype == torch.float32
        torch.testing.assert_close(one.grad.double(), two.grad, rtol=0.02, atol=0.05)
    torch.testing.assert_close(z.grad.double(), exact_z.grad, rtol=0.03, atol=0.1)


@pytest.mark.parametrize("kind", FAMILIES)
def test_no_float32_copy_of_the_activation_is_kept(kind: str) -> None:
    z = normal(2, 30, WIDTH).bfloat16().requires_grad_()
    map = FAMILIES[kind](*(tensor.detach().float().requires_grad_() for tensor in tensors_of(kind)))
    kept: list[Any] = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t) or t, lambda t: t):
        map(z)
    assert [t.dtype for t in kept if t.numel() == z.numel()] == [torch.bfloat16]


@pytest.mark.parametrize("kind", FAMILIES)
def test_only_what_asks_for_a_gradient_gets_one(kind: str) -> None:
    z, tensors = normal(2, 3, WIDTH), tensors_of(kind)
    tensors[0].requires_grad_(False)
    FAMILIES[kind](*tensors)(z).sum().backward()
    assert tensors[0].grad is None and tensors[1].grad is not None and z.grad is None
    quiet = [tensor.detach() for tensor in tensors]
    z.requires_grad_()
    FAMILIES[kind](*quiet)(z).sum().backward()
    assert z.grad is not None
