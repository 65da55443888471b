"""What stands in for kernels without a gradient computes what they compute, and learns."""

from __future__ import annotations

from typing import Any

import pytest
import torch

pytestmark = pytest.mark.usefixtures("comfyui")
NAMES = (
    *("apply_rope1", "apply_rope", "apply_rope_split_half1", "apply_rope_split_half"),
    *("rms_rope1", "rms_rope", "rms_rope_split_half1", "rms_rope_split_half"),
)


def arguments(name: str, requires_grad: bool = False) -> list[torch.Tensor]:
    random = torch.Generator().manual_seed(0)
    count = 1 if "1" in name else 2
    states = [torch.randn(1, 5, 2, 8, generator=random, requires_grad=requires_grad) for _ in range(count)]
    rotations = torch.randn(1, 5, 1, 4, 2, 2, generator=random)
    scales = [torch.randn(8, generator=random) for _ in range(count)] if "rms" in name else []
    return [*states, rotations, *scales]


@pytest.mark.parametrize("name", NAMES)
def test_it_computes_what_the_kernel_computes(name: str) -> None:
    from comfyui_lineas.train.rotary import OURS, differentiable_kernels

    assert OURS.keys() == set(NAMES)
    package: Any = pytest.importorskip("comfy_kitchen")
    kernel = getattr(package, name, None)
    if kernel is None:
        pytest.skip(f"this release of comfy_kitchen has no {name}")
    wanted = kernel(*arguments(name))
    with differentiable_kernels():
        got = getattr(package, name)(*arguments(name, requires_grad=True))
    assert getattr(package, name) is kernel
    pairs = [(got, wanted)] if "1" in name else list(zip(got, wanted, strict=True))
    for ours, theirs in pairs:
        assert ours.requires_grad
        torch.testing.assert_close(ours.detach(), theirs, rtol=1e-5, atol=1e-5)


def test_a_part_of_a_head_is_turned_after_the_norm_of_the_whole() -> None:
    from comfyui_lineas.train.rotary import OURS

    q, k, rotations, *scales = arguments("rms_rope_split_half")
    part = rotations[..., :2, :, :]
    turned = OURS["rms_rope_split_half"](q, k, part, *scales, rot_dim=4)
    for x, scale, got in zip((q, k), scales, turned, strict=True):
        normed = torch.nn.functional.rms_norm(x, (8,), scale, 1e-6)
        torch.testing.assert_close(got[..., 4:], normed[..., 4:])
        torch.testing.assert_close(got[..., :4], OURS["apply_rope_split_half1"](normed[..., :4], part))
