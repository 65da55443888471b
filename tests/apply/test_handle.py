"""The handle: strengths of what is fused, silence, threads, copies, compiled modules, strange strengths."""

from __future__ import annotations

import copy
import threading
import warnings
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from toys.models import affine, assert_untouched, gated, noise, snapshot, steering_for, toy_unet

from lineas.apply.fusing import fuse
from lineas.apply.hooks import steer
from lineas.errors import ConfigError
from lineas.modules.names import find_sites, named_modules
from lineas.steering.site import Site
from lineas.steering.steering import Steering


def all_sites(unet: nn.Module, seed: int = 0) -> Steering:
    return steering_for(unet, find_sites({"": unet}, "*"), seed)


def test_the_strength_of_what_is_fused_can_be_changed_also_from_and_to_zero() -> None:
    unet, x = toy_unet(), noise(1, 4, 4, 4)
    before, steerings = snapshot(unet), [all_sites(unet, 1), all_sites(unet, 2)]
    with fuse(unet, steerings, 0) as handle:
        for strengths in (0.5, [1.0, 0.0], [0.3, -0.4]):
            handle.set_strength(strengths)
            reference = toy_unet()
            with steer(reference, steerings, strengths):
                expected = reference(x)
            torch.testing.assert_close(unet(x), expected, rtol=1e-4, atol=1e-5)
    assert_untouched(unet, before)


@pytest.mark.parametrize("strength", [None, float("nan"), float("inf"), "1", {}, np.ones(2), True])
@pytest.mark.parametrize("put_on", [steer, fuse])
def test_a_strength_that_is_no_number_is_refused(put_on: Any, strength: Any) -> None:
    unet = toy_unet()
    before = snapshot(unet)
    with pytest.raises(ConfigError, match="expected a finite number"):
        put_on(unet, all_sites(unet), strength)
    assert_untouched(unet, before)


@pytest.mark.parametrize("strength", [np.float32(0.5), torch.tensor(0.5), (0.5,)])
def test_numbers_of_other_libraries_are_strengths(strength: Any) -> None:
    unet, x = toy_unet(), noise(1, 4, 4, 4)
    with steer(unet, all_sites(unet), 0.5):
        expected = unet(x)
    with steer(unet, all_sites(unet), strength):
        assert torch.equal(unet(x), expected)


def test_a_site_that_never_ran_is_told_when_the_handle_ends() -> None:
    model = nn.ModuleDict({"used": nn.LayerNorm(4), "unused": nn.LayerNorm(4)})
    model.forward = lambda x: model["used"](x)  # type: ignore[method-assign]
    steering = Steering({Site("used"): affine(4), Site("unused"): affine(4)})
    with pytest.warns(UserWarning, match="1 of 2 sites never ran .* unused"), steer(model, steering):
        model(noise(2, 4))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with steer(model, steering):
            pass  # nothing ran at all
        with steer(model, steering.restrict("used")):
            model(noise(2, 4))


class TwoParts(nn.Module):
    """A text encoder that is not asked when embeddings are given, and what reads them."""

    def __init__(self) -> None:
        super().__init__()
        self.components = {"text": nn.Sequential(nn.LayerNorm(4)), "unet": nn.Sequential(nn.LayerNorm(4))}

    def forward(self, prompt: Any = None, embeds: Any = None) -> Any:
        text, unet = self.components.values()
        return unet(text(prompt) if embeds is None else embeds)


@pytest.mark.parametrize("put_on", [steer, fuse])
def test_a_component_that_never_ran_is_told_of_in_weights_too(put_on: Any) -> None:
    model, x = TwoParts(), noise(2, 4)
    steering = Steering({Site("text.0"): affine(4), Site("unet.0"): affine(4)})
    told = pytest.warns(UserWarning, match=r"1 of 2 sites never ran .* text\.0")
    with told, put_on(model.components, steering):
        model(embeds=x)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with put_on(model.components, steering):
            model(x)
            model(embeds=x)
        with put_on(model.components, steering, 0):
            model(embeds=x)


def test_a_component_that_runs_by_a_method_of_its_own_has_run() -> None:
    model, x = TwoParts(), noise(2, 4)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with fuse(model.components, Steering({Site("text.0"): affine(4), Site("unet.0"): affine(4)})):
            model.components["unet"](model.components["text"][0](x))


def compiled_in_place(model: TwoParts) -> None:
    model.components["text"].compile(backend="eager")


def compiled_around(model: TwoParts) -> None:
    model.components["text"] = torch.compile(model.components["text"], backend="eager")  # type: ignore[assignment]


def compiled_within(model: TwoParts) -> None:
    model.components["text"][0].compile(backend="eager")


def compiled_forward(model: TwoParts) -> None:
    text = model.components["text"]
    text.forward = torch.compile(text.forward, backend="eager")  # type: ignore[method-assign]


@pytest.mark.parametrize("make", [compiled_in_place, compiled_around, compiled_within, compiled_forward])
def test_a_component_that_is_compiled_is_told_of_where_it_is_passed_over(make: Any) -> None:
    model, x = TwoParts(), noise(2, 4)
    make(model)
    expected = model(x)
    steering = Steering({Site("text.0"): affine(4), Site("unet.0"): affine(4)})
    for _ in range(2):
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)
            with fuse(model.components, steering):
                assert not torch.allclose(model(x), expected)
        assert torch.equal(model(x), expected)
        told = pytest.warns(UserWarning, match=r"1 of 2 sites never ran .* text\.0")
        with told, fuse(model.components, steering):
            model(embeds=x)


def test_what_is_compiled_anew_under_a_handle_stays_so() -> None:
    model, x = nn.Sequential(nn.LayerNorm(4)), noise(2, 4)
    model.compile(backend="eager")
    first = model._compiled_call_impl
    with fuse(model, Steering({Site("0"): affine(4)})):
        model(x)
    assert model._compiled_call_impl is first
    with fuse(model, Steering({Site("0"): affine(4)})):
        model.compile(backend="eager")
        second = model._compiled_call_impl
        assert copy.deepcopy(model)._compiled_call_impl is None
    assert model._compiled_call_impl is second


def test_a_method_that_is_compiled_cannot_be_seen_to_run() -> None:
    model, x = TwoParts(), noise(2, 4)
    text = model.components["text"]
    text.encode = torch.compile(lambda x: text[0](x), backend="eager")  # type: ignore[assignment]
    text.encode(x)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        with fuse(model.components, Steering({Site("text.0"): affine(4), Site("unet.0"): affine(4)})):
            model(embeds=text.encode(x))


@pytest.mark.parametrize("put_on", [steer, fuse])
def test_an_exception_tells_nothing_of_sites_that_had_no_turn(put_on: Any) -> None:
    model, x = TwoParts(), noise(2, 4)
    model.components["unet"].append(Failing()).append(nn.LayerNorm(4))
    names = ("text.0", "unet.0", "unet.2")
    steering = Steering({Site(name): affine(4) for name in names})
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        with pytest.raises(RuntimeError, match="within"), put_on(model.components, steering):
            model(x)
        with pytest.raises(RuntimeError, match="between"), put_on(model.components, steering):
            fail_after(model.components["text"](x))
        handle = put_on(model.components, steering)
        with pytest.raises(RuntimeError, match="within"):
            model(x)
        handle.remove()
        handle = put_on(model.components, steering)
        with pytest.raises(RuntimeError, match="within"):
            model(x)
        model.components["unet"][1].fails = False
        model(x)
        handle.remove()
    handle = put_on(model.components, steering)
    model(embeds=x)
    with pytest.warns(UserWarning, match=r"1 of 3 sites never ran .* text\.0"):
        handle.remove()


def fail_after(_: Any) -> None:
    raise RuntimeError("between")


class Failing(nn.Module):
    fails = True

    def forward(self, x: Any) -> Any:
        if self.fails:
            raise RuntimeError("within")
        return x


def test_a_dropped_handle_says_that_the_model_stays_steered() -> None:
    model = nn.ModuleDict({"site": nn.LayerNorm(4)})
    with pytest.warns(ResourceWarning, match="stays steered"):
        steer(model, Steering({Site("site"): affine(4)}))


def test_a_second_thread_is_refused_and_the_model_is_never_left_changed() -> None:
    """Each thread that gets its turn gives its own result, or is refused."""
    unet, x = toy_unet(), noise(1, 4, 4, 4)
    before, steering = snapshot(unet), all_sites(unet)
    expected = []
    for index in range(8):
        with steer(unet, steering, index / 8):
            expected.append(unet(x))
    outcomes: list[str] = []

    def work(index: int, put_on: Any) -> None:
        for _ in range(25):
            try:
                with put_on(unet, steering, index / 8):
                    got = unet(x)
                outcomes.append("right" if torch.allclose(got, expected[index], atol=1e-4) else "wrong")
            except ConfigError as error:
                outcomes.append("refused" if "Another thread" in str(error) else "wrong")

    threads = [threading.Thread(target=work, args=(i, (steer, fuse)[i % 2])) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(outcomes) == 200 and "wrong" not in outcomes and "right" in outcomes
    assert_untouched(unet, before)


def test_a_copy_of_a_steered_model_is_not_steered() -> None:
    unet, x = toy_unet(), noise(1, 4, 4, 4)
    plain = unet(x)
    with steer(unet, all_sites(unet)):
        copied = copy.deepcopy(unet)
    assert torch.equal(copied(x), plain) and torch.equal(unet(x), plain)
    with steer(copied, all_sites(copied)):
        assert not torch.equal(copied(x), plain)


def test_compiled_modules_are_refused_by_hooks_and_take_weights() -> None:
    model = nn.ModuleDict({"site": nn.LayerNorm(4)})
    model["site"].compile(backend="eager")
    x, affine_one = noise(2, 4), Steering({Site("site"): affine(4)})
    for put_on, steering in ((steer, affine_one), (fuse, Steering({Site("site"): gated(4)}))):
        with pytest.raises(ConfigError, match=r"torch\.compile"):
            put_on(model, steering)
    for name in ("site", "outer"):
        outer = nn.ModuleDict({"site": nn.LayerNorm(4)})
        hidden = torch.compile(outer, backend="eager") if name == "outer" else outer
        if name == "site":
            outer["site"] = torch.compile(outer["site"], backend="eager")  # type: ignore[assignment]
        inner = next(path for path, m in named_modules({"": hidden}).items() if type(m) is nn.LayerNorm)
        with pytest.raises(ConfigError, match=r"torch\.compile"):
            steer(hidden, Steering({Site(inner): affine(4)}))
    expected = affine(4)(nn.LayerNorm(4)(x))
    model["site"](x)
    with fuse(model, affine_one):
        torch.testing.assert_close(model["site"](x), expected)


def test_hooks_follow_their_site_to_the_module_that_lies_there_now() -> None:
    unet, other, x = toy_unet(), toy_unet(), noise(1, 4, 4, 4)
    sites = find_sites({"unet": unet}, "unet.*norm*")
    first = Steering({site: affine(4, i) for i, site in enumerate(sites)})
    second = Steering({site: affine(4, i + 9) for i, site in enumerate(sites)})
    with torch.no_grad():
        other.blocks[1].norm1.weight.mul_(2)
    base, both = unet(x), {"unet": unet}
    with steer(both, [first, second]):
        unet(x)
        own, unet.blocks[1].norm1 = unet.blocks[1].norm1, other.blocks[1].norm1
        exchanged = unet(x)
        assert torch.equal(unet(x), exchanged)
    assert not other.blocks[1].norm1._forward_hooks and not own._forward_hooks
    with steer(both, [first, second]):
        assert torch.equal(unet(x), exchanged)
        unet.blocks[1].norm1 = own
        back = unet(x)
    assert torch.equal(unet(x), base)
    with steer(both, [first, second]):
        assert torch.equal(unet(x), back)
