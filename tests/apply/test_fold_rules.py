"""Folding: which modules can carry a map in their weights, found by trying, and why others cannot."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from toys.models import CASES, OnePlusRMSNorm, SquaredRMSNorm, affine, gated, randomised

from lineas.apply.fold_rules import obstacle, weight_offset
from lineas.maps.low_rank import LowRankMap


@pytest.mark.parametrize("name", ["one_plus", "scaled", "gemma", "nemotron", "llama", "linear", "squared"])
def test_the_offset_of_the_weight_is_found_by_trying(name: str) -> None:
    expected = {"one_plus": 1, "scaled": 1, "gemma": 1, "nemotron": 1, "squared": None}
    assert weight_offset(randomised(CASES[name].make())) == expected.get(name, 0)


def test_trying_out_leaves_the_module_its_hooks_and_the_random_state_alone() -> None:
    module = randomised(OnePlusRMSNorm(5))
    calls: list[int] = []
    module.register_forward_hook(lambda *_: calls.append(1))
    before, state = [p.detach().clone() for p in module.parameters()], torch.get_rng_state()
    assert weight_offset(module) == 1
    assert not calls
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(a, b) for a, b in zip(module.parameters(), before, strict=True))


def test_the_reasons_are_told() -> None:
    norm, map = nn.LayerNorm(4), affine(4)
    wrapped, patched = nn.LayerNorm(4), nn.LayerNorm(4)
    wrapped.forward = lambda x: x  # type: ignore[method-assign]
    patched.register_parameter("extra", nn.Parameter(torch.ones(4)))
    with torch.device("meta"):
        hollow = nn.LayerNorm(4)
    rank = LowRankMap.identity(4)
    for module, candidate, axis, reason in [
        (norm, gated(4), -1, "gated map"),
        (norm, rank, -1, "low_rank map"),
        (norm, map, 1, "axis"),
        (norm, affine(8), -1, "shape"),
        (wrapped, map, -1, "wrapped"),
        (patched, map, -1, "extra"),
        (hollow, map, -1, "meta"),
        (SquaredRMSNorm(4), map, -1, "SquaredRMSNorm"),
        (nn.LayerNorm((3, 4)), map, -1, "shape"),
        (nn.Embedding(4, 4), map, -1, "Embedding"),
    ]:
        assert reason in (obstacle(module, candidate, axis) or "")
    assert obstacle(norm, map, -1) is None


@pytest.mark.skipif(not hasattr(torch, "float8_e4m3fn"), reason="this torch has no float8")
def test_float8_weights_are_hooked() -> None:
    norm = nn.LayerNorm(4).to(torch.float8_e4m3fn)
    assert "float8" in (obstacle(norm, affine(4)) or "")
