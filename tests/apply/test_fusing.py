"""Fuse: equal to hooks up to rounding, exact to undo, and hooks for what does not fold."""

from __future__ import annotations

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from toys.models import (
    CASES,
    affine,
    assert_untouched,
    gated,
    noise,
    randomised,
    snapshot,
    steering_for,
    toy_unet,
)

from lineas.apply.fold_rules import obstacle
from lineas.apply.fusing import fuse, unpatchable, weight_patches
from lineas.apply.hooks import steer
from lineas.errors import MismatchError
from lineas.modules.kinds import unit_axis
from lineas.modules.names import find_sites
from lineas.steering.site import Site
from lineas.steering.steering import Steering

ROUNDING = {torch.float32: 2e-6, torch.float16: 4e-3, torch.bfloat16: 3e-2}


def close(got: Tensor, expected: Tensor, dtype: torch.dtype) -> bool:
    """Equal up to a few roundings of the largest value; weights and outputs round at different places."""
    return bool((got - expected).abs().max() <= ROUNDING[dtype] * expected.abs().max())


@pytest.mark.parametrize("dtype", ROUNDING, ids=str)
@pytest.mark.parametrize("shift", [False, True], ids=["scale", "scale and shift"])
@pytest.mark.parametrize("name", CASES)
def test_fused_equals_hooked_and_unfused_equals_before(name: str, shift: bool, dtype: torch.dtype) -> None:
    case = CASES[name]
    model = nn.ModuleDict({"site": randomised(case.make()).to(dtype)})
    module, x = model["site"], noise(*case.shape, dtype=dtype)
    site = Site("site", 0, unit_axis(module))
    steering = Steering({site: affine(6, shift=shift)})
    before, plain = snapshot(model), module(x)
    with steer(model, steering, 0.8):
        hooked = module(x)
    expected_to_fuse = case.takes_scale and (case.takes_shift or not shift)
    assert (obstacle(module, steering.maps[site], site.axis) is None) == expected_to_fuse
    with fuse(model, steering, 0.8) as handle:
        assert (handle.fused, handle.hooked) == (((site,), ()) if expected_to_fuse else ((), (site,)))
        assert bool(module._forward_hooks) != expected_to_fuse
        assert close(module(x), hooked, dtype)
        assert not torch.equal(module(x), plain)
    assert torch.equal(module(x), plain)
    assert_untouched(model, before)


@settings(max_examples=25, deadline=None)
@given(st.floats(-2, 3), st.integers(0, 1000))
def test_a_whole_model_fused_is_the_hooked_one_at_any_strength(strength: float, seed: int) -> None:
    unet, x = toy_unet(seed).double(), noise(1, 4, 4, 4, seed=seed).double()
    steering = steering_for(unet, find_sites({"": unet}, "*"), seed)
    before = snapshot(unet)
    with steer(unet, steering, strength):
        hooked = unet(x)
    with fuse(unet, steering, strength) as handle:
        torch.testing.assert_close(unet(x), hooked)
        assert not handle.hooked
    assert_untouched(unet, before)


def test_strength_zero_and_identities_touch_nothing() -> None:
    unet = toy_unet()
    before = snapshot(unet)
    steering = steering_for(unet, find_sites({"": unet}, "*"))
    for off in (fuse(unet, steering, 0), fuse(unet, steering.at(0))):
        with off as handle:
            assert [(name, id(p)) for name, p in unet.named_parameters()] == [entry[:2] for entry in before]
            assert all(torch.equal(p, old[2]) for p, old in zip(unet.parameters(), before, strict=True))
            assert handle.hooked == ()
    assert handle.fused == ()
    assert_untouched(unet, before)


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_several_are_unfused_in_any_order(order: tuple[int, ...]) -> None:
    unet, x = toy_unet(), noise(1, 4, 4, 4)
    steerings = [steering_for(unet, find_sites({"": unet}, "*"), seed) for seed in (1, 20, 40)]
    before = snapshot(unet)
    handles = [fuse(unet, one, 0.4) for one in steerings]
    with fuse(toy_unet(), steerings, 0.4):
        pass
    left = [0, 1, 2]
    for index in order:
        handles[index].remove()
        handles[index].remove()
        left.remove(index)
        fused = unet(x)
        reference = toy_unet()
        with steer(reference, [steerings[i] for i in left], 0.4):
            torch.testing.assert_close(fused, reference(x), rtol=1e-4, atol=1e-5)
    assert_untouched(unet, before)


def test_the_model_is_restored_after_an_exception() -> None:
    unet = toy_unet()
    before = snapshot(unet)
    with pytest.raises(KeyboardInterrupt), fuse(unet, steering_for(unet, find_sites({"": unet}, "*"))):
        raise KeyboardInterrupt
    assert_untouched(unet, before)


def test_what_does_not_fit_is_refused_before_anything_is_touched() -> None:
    unet = toy_unet()
    before = snapshot(unet)
    good = Steering({Site("conv_norm_out", 0, 1): affine(4)})
    with pytest.raises(MismatchError, match="missing"):
        fuse(unet, [good, Steering({Site("nowhere"): affine(4)})])
    assert_untouched(unet, before)


def test_a_missing_bias_grows_and_goes_again() -> None:
    model = nn.ModuleDict({"site": nn.Linear(3, 4, bias=False)})
    with fuse(model, Steering({Site("site"): affine(4)})):
        assert isinstance(model["site"].bias, nn.Parameter)
        assert not model["site"].bias.requires_grad
    assert model["site"].bias is None
    assert list(model.state_dict()) == ["site.weight"]
    with fuse(model, Steering({Site("site"): affine(4, shift=False)})):
        assert model["site"].bias is None


def test_tied_weights_are_hooked_and_the_other_user_keeps_its_own() -> None:
    model = nn.ModuleDict({"embed": nn.Embedding(5, 4), "head": nn.Linear(4, 5, bias=False)})
    model["head"].weight = model["embed"].weight
    before, plain = snapshot(model), model["embed"](torch.arange(5))
    steering = Steering({Site("head"): affine(5)})
    assert "tied" in next(iter(unpatchable(model, steering).values()))
    with fuse(model, steering) as handle:
        assert handle.hooked == (Site("head"),)
        assert torch.equal(model["embed"](torch.arange(5)), plain)
    assert_untouched(model, before)


def test_a_module_that_is_used_twice_is_folded_once() -> None:
    norm = randomised(nn.LayerNorm(4))
    model, x = nn.ModuleDict({"a": norm, "b": norm}), noise(2, 4)
    expected = affine(4)(norm(x))
    with fuse(model, Steering({Site("a"): affine(4)})) as handle:
        assert handle.fused
        torch.testing.assert_close(model["b"](x), expected)


@pytest.mark.parametrize("second", [affine(4), gated(4)], ids=["affine", "gated"])
def test_what_follows_a_hook_is_hooked_too(second: object) -> None:
    model, x, site = nn.ModuleDict({"site": randomised(nn.LayerNorm(4))}), noise(2, 4), Site("site")
    steerings = [Steering({site: gated(4)}), Steering({site: second})]  # type: ignore[dict-item]
    with steer(model, steerings):
        expected = model["site"](x)
    with fuse(model, steerings) as handle:
        assert handle.hooked == (site, site)
        assert torch.equal(model["site"](x), expected)
    with steer(model, steerings[0]), fuse(model, steerings[1]):
        assert torch.equal(model["site"](x), expected)


def test_a_model_moved_to_another_precision_gets_its_weights_back_in_it() -> None:
    unet = toy_unet()
    expected = {name: p.detach().half() for name, p in unet.named_parameters()}
    handle = fuse(unet, steering_for(unet, find_sites({"": unet}, "*")))
    unet.half()
    handle.remove()
    assert {name: p.dtype for name, p in unet.named_parameters()} == dict.fromkeys(expected, torch.float16)
    assert all(torch.equal(p, expected[name]) for name, p in unet.named_parameters())


def test_weights_fused_in_inference_mode_can_still_be_trained() -> None:
    model = nn.ModuleDict({"site": nn.Linear(3, 4)})
    before = snapshot(model)
    with torch.inference_mode():
        handle = fuse(model, Steering({Site("site"): affine(4)}))
    model["site"](noise(2, 3).requires_grad_()).sum().backward()
    handle.remove()
    assert_untouched(model, before)


def test_a_model_made_in_inference_mode_is_fused_and_unfused_outside_of_it() -> None:
    with torch.inference_mode():
        model = nn.ModuleDict({"site": nn.Linear(3, 4)})
    before = snapshot(model)
    with fuse(model, Steering({Site("site"): affine(4)})):
        pass
    assert_untouched(model, before)


def test_patches_added_by_hand_are_the_steering_and_are_linear_in_the_strength() -> None:
    unet, x = toy_unet().double(), noise(1, 4, 4, 4).double()
    maps = dict(steering_for(unet, find_sites({"": unet}, "*")).maps)
    maps[Site("blocks.0.to_q")] = affine(4, shift=False)
    maps[Site("blocks.1.norm1", 0, 1)] = gated(4)
    steering = Steering(maps)
    assert {str(site) for site in unpatchable(unet, steering)} == {"blocks.1.norm1", "blocks.1.to_q"}
    patches = weight_patches(unet, steering)
    kept = steering.restrict([str(s) for s in maps if f"{s}.weight" in patches])
    assert len(kept.maps) == len(maps) - 2
    with steer(unet, kept, 0.6):
        expected = unet(x)
    parameters = dict(unet.named_parameters())
    with torch.no_grad():
        for name, delta in patches.items():
            parameters[name] += 0.6 * delta
    torch.testing.assert_close(unet(x), expected)


def test_patches_are_those_of_the_untouched_weights_also_while_fused() -> None:
    unet = toy_unet()
    steering = steering_for(unet, find_sites({"": unet}, "*norm*"))
    expected = weight_patches(unet, steering)
    with fuse(unet, steering):
        got = weight_patches(unet, steering)
    assert expected.keys() == got.keys()
    assert all(torch.equal(got[name], expected[name]) for name in expected)
