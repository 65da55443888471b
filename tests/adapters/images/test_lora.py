"""LoRAs of PEFT beside a steering: loaded before it, under it, fused, unloaded."""

from __future__ import annotations

import copy
import warnings
from typing import Any

import pytest
import torch
from toys.pipelines import ARGUMENTS, PIPELINES, SOURCE, TARGET, draw, flux, sd1

from lineas import SteeredModel, fit, fuse, steer
from lineas.adapters.images.recipes import Recipe
from lineas.adapters.images.sites import denoisers, diffusion_sites
from lineas.apply.handle import Handle
from lineas.errors import MismatchError
from lineas.maps.affine import AffineMap
from lineas.modules.kinds import width
from lineas.modules.names import find_sites, module_tree, named_modules
from lineas.steering.steering import Steering

peft = pytest.importorskip("peft")
LAYERS = ["to_q", "to_out.0", "net.2", "proj_out", "conv1"]


def denoiser(pipe: Any) -> Any:
    return next(iter(denoisers(module_tree(pipe)).values()))


def with_lora(pipe: Any, name: str = "style") -> Any:
    """The pipeline with a LoRA of random weights, on linear layers and convolutions."""
    torch.manual_seed(3)
    config = peft.LoraConfig(r=2, target_modules=LAYERS, init_lora_weights=False)
    denoiser(pipe).add_adapter(config, adapter_name=name)
    return pipe


def steering_at(pipe: Any, sites: str = "attention") -> Steering:
    generator, table = torch.Generator().manual_seed(0), named_modules(module_tree(pipe))
    maps = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for site in diffusion_sites(module_tree(pipe), sites):
            units = width(table[site.name])
            assert units is not None
            maps[site] = AffineMap(*(0.2 * torch.randn(2, units, generator=generator)))
    return Steering(maps)


@pytest.fixture(params=["SDXL", "FLUX"])
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def drawn(pipe: Any, name: str) -> torch.Tensor:
    return draw(pipe, **ARGUMENTS.get(name, {}))


def test_the_sites_with_a_lora_are_those_without(name: str) -> None:
    pipe, other = PIPELINES[name](), with_lora(PIPELINES[name]())
    for pattern in ("*to_out*", "*"):
        assert find_sites(module_tree(pipe), pattern) == find_sites(module_tree(other), pattern)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for preset in ("norms", "attention"):
            expected = diffusion_sites(module_tree(pipe), preset)
            assert diffusion_sites(module_tree(other), preset) == expected


@pytest.mark.parametrize("first", ["lora", "steering"])
def test_the_order_of_lora_and_steering_does_not_matter(name: str, first: str) -> None:
    pipe = PIPELINES[name]()
    steering, base = steering_at(pipe), drawn(pipe, name)
    with_lora(pipe)
    with steer(pipe, steering):
        expected = drawn(pipe, name)
    styled = drawn(pipe, name)
    pipe = PIPELINES[name]()
    if first == "lora":
        with_lora(pipe)
    with steer(pipe, steering):
        if first == "steering":
            assert not torch.equal(drawn(pipe, name), base)
            with_lora(pipe)
        assert torch.equal(drawn(pipe, name), expected)
        denoiser(pipe).delete_adapters("style")
        pipe.unload_lora_weights()
        alone = drawn(pipe, name)
        assert not torch.equal(alone, expected)
    assert torch.equal(drawn(pipe, name), base)
    with steer(pipe, steering):
        assert torch.equal(drawn(pipe, name), alone)
    assert not torch.equal(styled, expected)


def test_several_steerings_keep_their_order_when_a_lora_comes(name: str) -> None:
    pipe = PIPELINES[name]()
    first, second = steering_at(pipe), steering_at(pipe).at(-2)
    with steer(pipe, [first, second]):
        with_lora(pipe)
        got = drawn(pipe, name)
    with steer(pipe, [first, second]):
        assert torch.equal(drawn(pipe, name), got)
    with steer(pipe, [second, first]):
        assert not torch.equal(drawn(pipe, name), got)


def test_a_copy_that_gets_a_lora_is_not_steered() -> None:
    pipe = sd1()
    with steer(pipe, steering_at(pipe)):
        copied = copy.deepcopy(pipe)
        with_lora(copied)
        got = draw(copied)
    assert torch.equal(got, draw(with_lora(sd1())))


def test_a_fit_with_a_lora_loaded_has_all_its_sites_and_leaves_the_lora_alone(name: str) -> None:
    pipe = with_lora(PIPELINES[name]())
    before = drawn(pipe, name)
    recipe = Recipe("one", arguments=ARGUMENTS.get(name, {}))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="There are")
        steering = fit(pipe, SOURCE, TARGET, sites="attention", recipe=recipe, steps=3, learning_rate=0.01)
    assert set(steering.sites) == set(steering_at(PIPELINES[name]()).sites)
    made = steering.provenance.settings
    assert made["cost"] < made["cost_at_start"]
    assert torch.equal(drawn(pipe, name), before)


def test_layers_under_a_lora_are_hooked_and_others_fused() -> None:
    pipe = with_lora(sd1())
    steering = steering_at(pipe, "norms").compose(steering_at(pipe), "sum")
    with steer(pipe, steering):
        expected = draw(pipe)
    with fuse(pipe, steering) as handle:
        table = named_modules(module_tree(pipe))
        wrapped = {site for site in steering.sites if hasattr(table[site.name], "base_layer")}
        assert set(handle.hooked) == wrapped
        torch.testing.assert_close(draw(pipe), expected, rtol=1e-3, atol=1e-3)


@pytest.fixture
def fused() -> tuple[Any, dict[str, torch.Tensor], Handle]:
    pipe = sd1()
    before = {name: weight.clone() for name, weight in pipe.unet.state_dict().items()}
    return pipe, before, fuse(pipe, steering_at(pipe, "unet.*to_out.0"))


def test_a_lora_that_comes_and_goes_over_a_fuse_leaves_the_weights_as_they_were(fused: Any) -> None:
    pipe, before, handle = fused
    with_lora(pipe)
    draw(pipe)
    handle.remove()
    pipe.unload_lora_weights()
    assert all(torch.equal(weight, before[name]) for name, weight in pipe.unet.state_dict().items())


def test_a_lora_fused_over_a_fuse_is_seen_before_anything_is_written(fused: Any) -> None:
    pipe, before, handle = fused
    with_lora(pipe)
    pipe.fuse_lora()
    with pytest.raises(MismatchError, match="changed"):
        handle.remove()
    pipe.unfuse_lora()
    pipe.unload_lora_weights()
    handle.remove(keep=True)
    for name, weight in pipe.unet.state_dict().items():
        if "to_out" not in name:
            assert torch.allclose(weight, before[name], atol=1e-5), name


def test_a_steered_model_follows_a_lora_and_says_what_it_left_behind() -> None:
    pipe = sd1()
    steering = steering_at(pipe)
    with_lora(pipe)
    with steer(pipe, steering):
        expected = draw(pipe)
    pipe.unload_lora_weights()
    with SteeredModel(pipe) as steered:
        steered.load_steering(steering, "one")
        with_lora(pipe)
        assert torch.equal(draw(steered), expected)


def test_projections_that_are_fused_into_one_are_told() -> None:
    pipe = flux()
    steering = Steering(
        {
            site: AffineMap(torch.ones(32), torch.ones(32))
            for site in find_sites(module_tree(pipe), "transformer.*.attn.to_q")
        }
    )
    handle = steer(pipe, steering)
    pipe.transformer.fuse_qkv_projections()
    draw(pipe, **ARGUMENTS["FLUX"])
    with pytest.warns(UserWarning, match="never ran"):
        handle.remove()
