"""Hooks act in every architecture of ComfyUI, and what cannot act says so."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from comfyui_pack import tiny
from comfyui_pack.tiny import StandInClip, output

from lineas.maps.affine import AffineMap
from lineas.maps.gated import GatedMap
from lineas.modules.kinds import width
from lineas.modules.names import find_sites, named_modules
from lineas.steering.steering import Steering

pytestmark = pytest.mark.usefixtures("comfyui")

# One site for each, where the picture goes through in every block.
MODELS = {
    "sd3": "comfy.joint_blocks.*x_block.attn.proj",
    "pixart": "comfy.blocks.*.attn.proj",
    "hunyuan_dit": "comfy.blocks.*.attn1.out_proj",
    "lumina2": "comfy.layers.*.attention_norm1",
    "qwen_image": "comfy.transformer_blocks.*.attn.to_out.0",
    "wan": "comfy.blocks.*.self_attn.o",
    "flux": "comfy.single_blocks.*.linear2",
    "flux2": "comfy.single_blocks.*.linear2",
    "chroma": "comfy.single_blocks.*.linear2",
    "ovis_image": "comfy.single_blocks.*.linear2",
    "longcat_image": "comfy.single_blocks.*.linear2",
    "hunyuan_image": "comfy.single_blocks.*.linear2",
    "z_image": "comfy.layers.*.attention_norm1",
    "aura_flow": "comfy.single_layers.*.attn.w1o",
    "cosmos_predict2": "comfy.blocks.*.self_attn.output_proj",
    "hidream": "comfy.single_stream_blocks.*.block.attn1.to_out",
    "kandinsky5": "comfy.visual_transformer_blocks.*.self_attention.out_layer",
    "omnigen2": "comfy.layers.*.norm2",
    "krea2": "comfy.blocks.*.prenorm",
    "ernie_image": "comfy.layers.*.adaLN_sa_ln",
    "ideogram4": "comfy.layers.*.attention_norm1",
    "sd15": "unet.*.attn2.to_out.0",
    "sdxl": "unet.*.attn2.to_out.0",
}


@pytest.fixture(scope="module")
def models(comfyui: Any) -> dict[str, Any]:
    return {}


def model_of(models: dict[str, Any], name: str) -> tuple[Any, Any, int]:
    """The model, its stand-in for a CLIP, and the side of its latents."""
    if name not in models:
        models[name] = getattr(tiny, name)()
    return models[name], tiny.clip_of(name), 48 if name == "pixart" else 8


def steering_at(model: Any, pattern: Any, shifts: bool = True) -> Steering:
    """Random maps at the sites of a pattern. shifts: False leaves those out that weights have no bias for."""
    from comfyui_lineas.models.tree import Tree

    components, random = Tree(model).components, torch.Generator().manual_seed(0)
    table = named_modules(components)
    maps = {}
    for site in find_sites(components, pattern):
        units = width(table[site.name])
        assert units is not None
        numbers = 0.5 * torch.randn(2, units, generator=random)
        held = shifts or table[site.name]._parameters.get("bias") is not None
        maps[site] = AffineMap(numbers[0], numbers[1] if held else torch.zeros(units))
    return Steering(maps)


def applied(model: Any, steering: Steering, strength: float = 1.0, **placement: Any) -> Any:
    from comfyui_lineas.apply.placement import Placement
    from comfyui_lineas.apply.steering import apply_steering

    return apply_steering(model, None, steering, strength, Placement(**placement))[0]


def by_library(model: Any, clip: Any, steering: Steering, side: int) -> torch.Tensor:
    """The output with the library's own hooks on the model, whatever ComfyUI calls around it."""
    from comfyui_lineas.models.tree import Tree
    from lineas.apply.hooks import steer

    with steer(Tree(model).components, steering):
        return output(model, clip, side)


@pytest.mark.parametrize("name", MODELS)
def test_hooks_do_what_the_library_does(models: dict[str, Any], name: str) -> None:
    model, clip, side = model_of(models, name)
    steering = steering_at(model, MODELS[name])
    base, expected = output(model, clip, side), by_library(model, clip, steering, side)
    assert (expected - base).abs().max() > 1e-3
    for placement in ({"method": "hooks"}, {"apply_to": "cond"}, {"end_percent": 0.5}):
        got = output(applied(model, steering, **placement), clip, side)
        torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-5)
    gates = {
        site: replace(GatedMap.identity(map.width), shift=map.shift) for site, map in steering.maps.items()
    }
    gated = output(applied(model, Steering(gates)), clip, side)
    torch.testing.assert_close(gated, by_library(model, clip, Steering(gates), side), rtol=1e-4, atol=1e-5)
    assert torch.equal(output(model, clip, side), base)
    assert not any(module._forward_hooks for module in model.model.diffusion_model.modules())


@pytest.mark.parametrize("name", ["sd3", "wan", "qwen_image"])
def test_a_mask_divides_the_image_of_a_transformer(models: dict[str, Any], name: str) -> None:
    model, clip, side = model_of(models, name)
    steering = steering_at(model, MODELS[name])
    full = output(applied(model, steering, mask=torch.ones(1, 16, 16)), clip, side)
    torch.testing.assert_close(full, by_library(model, clip, steering, side), rtol=1e-4, atol=1e-5)
    none = output(applied(model, steering, mask=torch.zeros(1, 16, 16)), clip, side)
    assert torch.equal(none, output(model, clip, side))


def test_norms_that_newer_releases_fuse_are_steered_too(models: dict[str, Any]) -> None:
    model, clip, side = model_of(models, "lumina2")
    pattern = ["comfy.layers.*.attention.q_norm", "comfy.layers.*.attention.k_norm"]
    for shifts in (False, True):
        steering = steering_at(model, pattern, shifts)
        base = output(model, clip, side)
        by_hooks = output(applied(model, steering, method="hooks"), clip, side)
        assert (by_hooks - base).abs().max() > 1e-3
        model_automatic = applied(model, steering)
        # Without a shift there is nothing that an RMS norm's weight cannot hold.
        assert bool(model_automatic.patches) == (not shifts)
        torch.testing.assert_close(output(model_automatic, clip, side), by_hooks, rtol=1e-4, atol=1e-5)


@pytest.fixture
def spare(models: dict[str, Any]) -> Any:
    """SD3 with a module that it never calls, steered there and elsewhere."""
    import comfy.ops

    model, _, _ = model_of(models, "sd3")
    root = model.model.diffusion_model
    root.spare = comfy.ops.disable_weight_init.Linear(4, 4)
    yield model, steering_at(model, ["comfy.spare", MODELS["sd3"]])
    del root.spare


def test_a_site_that_is_not_called_is_told_on_the_node(spare: Any, told: Any, running: Any) -> None:
    model, steering = spare
    with running("7"):
        steered = applied(model, steering, method="hooks")
    assert told == []
    with running("8"):
        output(steered, StandInClip())
    [(text, node)] = told
    assert node == "7" and "1 of 3 sites" in text and "comfy.spare" in text
    alone = steering.restrict([str(site) for site in steering.sites if "spare" not in site.name])
    with running("9"):
        output(applied(model, alone, method="hooks"), StandInClip())
    assert len(told) == 1


def test_a_sampling_without_an_effect_is_told_on_the_node(models: Any, told: Any, running: Any) -> None:
    model, clip, _ = model_of(models, "sd3")
    steering = steering_at(model, MODELS["sd3"])
    for number, placement in enumerate(({"start_percent": 0.9}, {"apply_to": "uncond"})):
        with running(str(number)):
            steered = applied(model, steering, **placement)
        assert torch.equal(output(steered, clip), output(model, clip))
        assert told[-1][1] == str(number) and "did not act" in told[-1][0]
    assert len(told) == 2


def test_warnings_are_told_on_the_node(models: Any, told: Any, running: Any) -> None:
    model, _, _ = model_of(models, "sd3")
    steering = steering_at(model, MODELS["sd3"])
    other = replace(steering.provenance, fingerprint="1:comfy=0123456789abcdef")
    with running("7"):
        applied(model, Steering(steering.maps, other))
    [(text, node)] = told
    assert node == "7" and "fitted on other weights" in text
