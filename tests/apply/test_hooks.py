"""Apply: strengths, stacking, refusals, and a model that is left as it was."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn
from toys.models import (
    CASES,
    Pair,
    TwoOutputs,
    affine,
    assert_untouched,
    gated,
    noise,
    randomised,
    snapshot,
    steering_for,
    toy_unet,
)

from lineas.apply.check import fingerprint
from lineas.apply.hooks import steer
from lineas.errors import ConfigError, MismatchError
from lineas.modules.kinds import unit_axis
from lineas.modules.names import find_sites
from lineas.modules.recorder import Recorder, get_output
from lineas.steering.provenance import Provenance
from lineas.steering.site import Site
from lineas.steering.steering import Steering

TOKENS = nn.ModuleDict({"norm": nn.LayerNorm(4)})
ON_TOKENS = Steering({Site("norm"): affine(4)})


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize("name", CASES)
def test_a_hook_applies_the_map_to_the_output(name: str, dtype: torch.dtype) -> None:
    case = CASES[name]
    model = nn.ModuleDict({"site": randomised(case.make()).to(dtype)})
    x, axis = noise(*case.shape, dtype=dtype), unit_axis(model["site"])
    map = affine(6)
    before, plain = snapshot(model), model["site"](x)
    with steer(model, Steering({Site("site", 0, axis): map}), 0.7):
        got = model["site"](x)
    assert got.dtype == plain.dtype
    assert torch.equal(got, map(plain, 0.7, axis))
    assert torch.equal(model["site"](x), plain)
    assert_untouched(model, before)


@pytest.mark.parametrize("off", [0, 0.0, "identity"])
def test_off_is_bit_identical_and_passes_the_very_tensor_on(off: Any) -> None:
    unet, x = toy_unet(), noise(2, 4, 4, 4)
    steering = steering_for(unet, find_sites({"": unet}, "*norm*"))
    strength = 1.0 if off == "identity" else off
    steering = steering.at(0) if off == "identity" else steering
    expected = unet(x)
    last = Site("conv_norm_out", axis=1)
    with Recorder(unet, [last]) as recorder, steer(unet, steering, strength):
        got = unet(x)
    assert torch.equal(got, expected)
    assert got is recorder.rows[last][0]


def test_two_steerings_act_one_after_the_other() -> None:
    x, site = noise(2, 3, 4), Site("norm")
    a, b = affine(4, 2), gated(4)
    plain = TOKENS["norm"](x)
    with steer(TOKENS, [Steering({site: a}), Steering({site: b})], [0.5, 2.0]):
        listed = TOKENS["norm"](x)
    with steer(TOKENS, Steering({site: a}), 0.5), steer(TOKENS, Steering({site: b}), 2.0):
        nested = TOKENS["norm"](x)
    assert torch.equal(listed, b(a(plain, 0.5), 2.0))
    assert torch.equal(nested, listed)


def test_strength_can_be_changed_while_it_runs() -> None:
    x, map = noise(2, 3, 4), affine(4)
    plain = TOKENS["norm"](x)
    handle = steer(TOKENS, [ON_TOKENS, ON_TOKENS], 1.0)
    handle.set_strength(0)
    assert torch.equal(TOKENS["norm"](x), plain)
    handle.set_strength([0, -0.5])
    assert torch.equal(TOKENS["norm"](x), map(plain, -0.5))
    with pytest.raises(ConfigError, match="1 strengths for 2"):
        handle.set_strength([1.0])
    assert handle.sites == [Site("norm"), Site("norm")]
    handle.remove()
    handle.remove()
    assert torch.equal(TOKENS["norm"](x), plain)


def test_components_are_named_and_only_the_named_one_is_steered() -> None:
    one, two, x = toy_unet(), toy_unet(), noise(1, 4, 4, 4)
    plain = one(x)
    with steer({"unet": one, "other": two}, Steering({Site("unet.conv_norm_out", 0, 1): affine(4)})):
        assert not torch.allclose(one(x), plain)
        assert torch.equal(two(x), plain)


@pytest.mark.parametrize("pack", [lambda a, b: (a, b), Pair, lambda a, b: {"a": a, "b": b}])
def test_one_output_of_several_is_steered(pack: Callable[..., Any]) -> None:
    model, x, map = nn.ModuleDict({"two": TwoOutputs(pack)}), noise(2, 4), affine(4)
    with steer(model, Steering({Site("two", 1): map})):
        output = model["two"](x)
    assert type(output) is type(pack(x, x))
    assert torch.equal(get_output(output, 1), map(2 * x))
    assert torch.equal(get_output(output, 0), model["two"].inner(x))


def test_the_model_is_restored_after_an_exception() -> None:
    unet = toy_unet()
    before = snapshot(unet)
    with pytest.raises(KeyboardInterrupt), steer(unet, steering_for(unet, find_sites({"": unet}, "*"))):
        raise KeyboardInterrupt
    assert_untouched(unet, before)


def test_what_does_not_fit_is_refused_with_every_problem_before_anything_is_touched() -> None:
    unet = toy_unet()
    before = snapshot(unet)
    good = Steering({Site("conv_norm_out", 0, 1): affine(4)})
    maps = {Site("blocks.0.norm1", 0, 1): affine(8), Site("blocks.0.norm9", 0, 1): affine(4)}
    bad = Steering(maps, Provenance(base_model="some/model"))
    with pytest.raises(MismatchError) as error:
        steer(unet, [good, bad])
    for part in (
        "2 of 2",
        "4 units in the model and 8",
        "Near names: blocks.0.norm",
        "some/model",
        "restrict",
    ):
        assert part in str(error.value)
    assert_untouched(unet, before)
    many = Steering({Site(f"blocks.{i}.norm3"): affine(4) for i in range(9)})
    with pytest.raises(MismatchError, match="and 4 more"):
        steer(unet, many)


def test_a_width_that_only_shows_at_run_time_is_refused_by_name() -> None:
    unet = toy_unet()
    with (
        steer(unet, Steering({Site("blocks.0", 0, 1): affine(8)})),
        pytest.raises(MismatchError, match=r"blocks\.0"),
    ):
        unet(noise(1, 4, 4, 4))


def test_options_are_checked_before_anything_is_touched() -> None:
    before = snapshot(TOKENS)
    with pytest.raises(ConfigError, match="where is"):
        steer(TOKENS, ON_TOKENS, where="first")
    with pytest.raises(ConfigError):
        steer(TOKENS, ON_TOKENS, [1.0, 2.0])
    with pytest.raises(MismatchError, match="mask has shape"):
        steer(TOKENS, ON_TOKENS, mask=torch.ones(4))
    assert_untouched(TOKENS, before)


def test_other_weights_warn_and_the_same_weights_do_not() -> None:
    unet, other = toy_unet(), toy_unet(seed=9)
    sites = find_sites({"": unet}, "*norm*")
    steering = steering_for(unet, sites, fingerprint=fingerprint({"": unet}, sites), base_model="some/model")
    with pytest.warns(UserWarning, match="some/model"):
        steer(other, steering).remove()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        steer(unet, steering).remove()
        steer(other, replace(steering, provenance=Provenance())).remove()


def test_it_works_under_autograd_and_inference_mode_one_after_the_other() -> None:
    unet, x = toy_unet(), noise(1, 4, 4, 4)
    with steer(unet, steering_for(unet, find_sites({"": unet}, "*norm*"))):
        with torch.inference_mode():
            fast = unet(x)
        slow = unet(x.requires_grad_())
        slow.sum().backward()
    torch.testing.assert_close(fast, slow.detach())
    assert x.grad is not None
