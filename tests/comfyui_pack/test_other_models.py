"""A diffusion transformer, and a UNet of SDXL's kind: small ones with random weights."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from comfyui_pack import tiny
from comfyui_pack.tiny import ProseClip, StandInClip, falls, output, trained

from lineas.errors import MismatchError

pytestmark = pytest.mark.usefixtures("comfyui")


@pytest.fixture(scope="module")
def flux(comfyui: Any) -> Any:
    return tiny.flux()


@pytest.fixture(scope="module")
def sdxl(comfyui: Any) -> Any:
    return tiny.sdxl()


def test_a_transformer_keeps_its_names_and_says_so(flux: Any) -> None:
    from comfyui_lineas.apply.placement import Placement
    from comfyui_lineas.apply.steering import apply_steering

    clip, pattern = StandInClip(12, 8), "unet.*img_attn.proj, unet.*single_blocks.*linear2"
    steering = trained(flux, clip, sites="own pattern", pattern=pattern).steering
    assert falls(steering)
    assert [site.name for site in steering.sites] == [
        "comfy.double_blocks.0.img_attn.proj",
        "comfy.single_blocks.0.linear2",
    ]
    assert "ComfyUI alone" in steering.provenance.notes
    base = output(flux, clip)
    by_weights, _ = apply_steering(flux, None, steering, 1.0)
    by_hooks, _ = apply_steering(flux, None, steering, 1.0, Placement(method="hooks"))
    assert by_weights.patches and not by_weights.wrappers
    assert torch.allclose(output(by_weights, clip), output(by_hooks, clip), atol=1e-5)
    assert not torch.allclose(output(by_hooks, clip), base, atol=1e-3)
    assert torch.equal(output(flux, clip), base)


def test_a_transformer_without_affine_norms_is_steered_behind_its_layers(flux: Any) -> None:
    steering = trained(flux, StandInClip(12, 8)).steering
    names = [site.name.removeprefix("comfy.") for site in steering.sites]
    assert "double_blocks.0.img_attn.proj" in names and "single_blocks.0.linear2" in names


def test_rotations_are_those_of_the_kernels(comfyui: Any) -> None:
    import comfy.ldm.flux.math as kernels

    from comfyui_lineas.train.rotary import differentiable_kernels, rotated_both

    random = torch.Generator().manual_seed(0)
    q, k = torch.randn(2, 1, 2, 5, 8, generator=random)
    rotations = kernels.rope(torch.arange(5.0)[None], 8, 10000)[:, None]
    before = kernels.apply_rope
    for ours, theirs in zip(rotated_both(q, k, rotations), before(q, k, rotations), strict=True):
        assert torch.allclose(ours, theirs, atol=1e-5)
    with differentiable_kernels():
        assert kernels.apply_rope(q.requires_grad_(), k, rotations)[0].requires_grad
    assert kernels.apply_rope is before


def test_a_unet_with_pooled_text_and_deep_transformers(sdxl: Any) -> None:
    from comfyui_lineas.apply.steering import apply_steering

    clip = StandInClip(12, 1280)
    steering = trained(sdxl, clip, low_memory=True, micro_batch=2, steps=4).steering
    assert falls(steering) and steering.provenance.base_model == "SDXL"
    assert any("mid_block.attentions.0.transformer_blocks.1.norm3" in site.name for site in steering.sites)
    model, _ = apply_steering(sdxl, None, steering, 1.0)
    assert model.patches and not model.wrappers
    assert not torch.allclose(output(model, clip), output(sdxl, clip), atol=1e-4)


def test_sdxl_and_the_scenes_model_refuse_each_other(sdxl: Any, flux: Any, scenes: Any) -> None:
    from comfyui_lineas.apply.steering import apply_steering

    steering = trained(sdxl, StandInClip(12, 1280), steps=1).steering
    with pytest.raises(MismatchError, match="made for SDXL, the connected model is lineas/scenes"):
        apply_steering(scenes.model, None, steering, 1.0)
    with pytest.raises(MismatchError, match="made for SDXL, the connected model is Flux"):
        apply_steering(flux, None, steering, 1.0)
    assert not scenes.model.patches and not scenes.model.wrappers


def test_names_of_configurations_are_read_quietly(sdxl: Any, caplog: pytest.LogCaptureFixture) -> None:
    from comfyui_lineas.models.base_models import base_model_of, native_size

    assert (base_model_of(sdxl), native_size(sdxl)) == ("SDXL", 1024)
    assert "doesn't exist" not in caplog.text


PROSE = {"source": "aa\nbbbb\ncc\nddddddd\neeeeeeee", "target": "f\ngg\nhhhh"}


@pytest.fixture
def lengths(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, ...]]:
    """(prompts, their length) that the model was given, call by call."""
    from comfyui_lineas.train.denoising import Denoiser

    seen: list[tuple[int, ...]] = []
    run = Denoiser.__call__

    def watched(self: Any, conditions: Any, seeds: Any) -> Any:
        seen.append((len(conditions), *{cross.shape[1] for cross, _ in conditions}))
        return run(self, conditions, seeds)

    monkeypatch.setattr(Denoiser, "__call__", watched)
    return seen


@pytest.mark.parametrize("name", ["lumina2", "qwen_image"])
def test_prompts_of_other_lengths_run_as_they_are(comfyui: Any, name: str, lengths: Any) -> None:
    options = {**PROSE, "preserve": "i\nk\nllll", "preserve_weight": 0.5, "sites": "own pattern"}
    pattern = {"lumina2": "unet.layers.*attention_norm2", "qwen_image": "unet.*attn.to_out.0"}[name]
    model = getattr(tiny, name)()
    steering = trained(model, ProseClip(), **options, pattern=pattern, steps=4).steering
    assert falls(steering)
    # Nothing is repeated, and prompts of one length share a batch: the two of two letters do.
    assert {length for _, length in lengths} == {16, 17, 19, 22, 23}
    assert (2, 17) in lengths


def test_lengths_change_nothing_but_the_batches(comfyui: Any) -> None:
    model, clip = tiny.lumina2(), ProseClip()
    options = {**PROSE, "sites": "own pattern", "pattern": "unet.layers.*attention_norm2", "steps": 2}
    together = trained(model, clip, **options).steering
    one_by_one = trained(model, clip, **options, micro_batch=1).steering
    assert together.allclose(one_by_one, rtol=1e-3, atol=1e-5)
    shuffled = {**options, "source": "eeeeeeee\naa\nddddddd\nbbbb\ncc"}
    costs = [
        made.provenance.settings["cost_at_start"]
        for made in (together, trained(model, clip, **shuffled).steering)
    ]
    assert costs[0] != costs[1]  # prompt i has the noise of seed + i, whatever its length


@pytest.mark.parametrize("name", ["qwen_image", "wan"])
def test_images_that_are_videos_of_one_frame_train(comfyui: Any, name: str) -> None:
    from comfyui_lineas.apply.steering import apply_steering

    model, clip = getattr(tiny, name)(), StandInClip()
    pattern = "unet.*blocks.*attn.to_out.0, unet.*blocks.*self_attn.o, unet.*blocks.*ffn.2"
    steering = trained(model, clip, sites="own pattern", pattern=pattern, steps=4).steering
    assert falls(steering)
    steered, _ = apply_steering(model, None, steering, 1.0)
    assert not torch.allclose(output(steered, clip), output(model, clip), atol=1e-4)


@pytest.mark.parametrize("name", ["flux", "flux2", "sd3", "lumina2", "wan"])
def test_recomputing_blocks_that_add_in_place_changes_nothing(comfyui: Any, name: str) -> None:
    pattern = {
        "flux": "unet.*img_attn.proj, unet.*img_mlp.2",
        "flux2": "unet.*img_attn.proj, unet.*img_mlp.2",
        "sd3": "unet.joint_blocks.*attn.proj",
        "lumina2": "unet.layers.*norm2",
        "wan": "unet.blocks.*ffn.2",
    }[name]
    model, options = getattr(tiny, name)(), {"sites": "own pattern", "pattern": pattern}
    clip = ProseClip() if name in ("flux2", "lumina2") else StandInClip()
    whole = trained(model, clip, **options).steering
    assert whole.allclose(trained(model, clip, **options, low_memory=True).steering, rtol=1e-3, atol=1e-5)
    assert not any("forward" in vars(module) for module in model.model.diffusion_model.modules())


def test_norms_of_queries_are_steered_where_a_pattern_names_them(comfyui: Any) -> None:
    from comfyui_lineas.models.tree import Tree
    from comfyui_lineas.train.chosen_sites import chosen_sites

    components = Tree(tiny.lumina2()).components
    assert chosen_sites(components, ["unet.layers.*q_norm*"])
    assert not any("q_norm" in site.name for site in chosen_sites(components, ["unet.*norm*"]))
