"""A diffusion transformer, and a UNet of SDXL's kind: small ones with random weights."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import pytest
import torch

from lineas.errors import MismatchError

pytestmark = pytest.mark.usefixtures("comfyui")


class StandInClip:
    """Conditions of random numbers, the same for the same prompt; its prompts may be of several lengths."""

    layer_idx = None

    def __init__(self, width: int, pooled: int) -> None:
        import comfy.model_patcher

        self.sizes = (width, pooled)
        self.cond_stage_model = torch.nn.Module()
        cpu = torch.device("cpu")
        self.patcher = comfy.model_patcher.ModelPatcher(self.cond_stage_model, cpu, cpu)

    def tokenize(self, text: str) -> str:
        return text

    def encode_from_tokens_scheduled(self, text: str, show_pbar: bool = True) -> list[Any]:
        random = torch.Generator().manual_seed(len(text))
        length = 77 if len(text) < 8 else 154
        cross = torch.randn(1, length, self.sizes[0], generator=random)
        return [[cross, {"pooled_output": torch.randn(1, self.sizes[1], generator=random)}]]


def filled(model: Any) -> Any:
    import comfy.model_patcher

    random = torch.Generator().manual_seed(0)
    for name, parameter in model.diffusion_model.named_parameters():
        parameter.requires_grad_(False)
        one = name.endswith(("scale", "norm.weight", "norm1.weight", "norm2.weight"))
        parameter.copy_(0.1 * torch.randn(parameter.shape, generator=random) + float(one))
    return comfy.model_patcher.ModelPatcher(model, torch.device("cpu"), torch.device("cpu"))


@pytest.fixture(scope="module")
def flux(comfyui: Any) -> Any:
    import comfy.ldm.flux.model
    import comfy.model_base
    import comfy.supported_models

    known = {field.name for field in fields(comfy.ldm.flux.model.FluxParams)}
    config = comfy.supported_models.Flux(
        {
            "image_model": "flux",
            "in_channels": 16,
            "out_channels": 16,
            "vec_in_dim": 8,
            "context_in_dim": 12,
            "hidden_size": 32,
            "mlp_ratio": 2.0,
            "num_heads": 2,
            "depth": 1,
            "depth_single_blocks": 1,
            "axes_dim": [4, 6, 6],
            "theta": 10000,
            "patch_size": 2,
            "qkv_bias": True,
            "guidance_embed": False,
            **({"txt_ids_dims": []} if "txt_ids_dims" in known else {}),  # not in 0.3.64
            "dtype": torch.float32,
        }
    )
    with torch.inference_mode():
        return filled(comfy.model_base.Flux(config, device="cpu"))


@pytest.fixture(scope="module")
def sdxl(comfyui: Any) -> Any:
    import comfy.model_base
    import comfy.supported_models

    config = comfy.supported_models.SDXL(
        {
            "image_size": 32,
            "in_channels": 4,
            "out_channels": 4,
            "model_channels": 64,
            "num_res_blocks": [1, 1],
            "channel_mult": [1, 2],
            "transformer_depth": [0, 2],
            "transformer_depth_output": [0, 0, 2, 2],
            "transformer_depth_middle": 2,
            "use_spatial_transformer": True,
            "use_linear_in_transformer": True,
            "context_dim": 12,
            "num_classes": "sequential",
            "adm_in_channels": 1280 + 6 * 256,
            "dtype": torch.float32,
        }
    )
    config.unet_config |= {"num_head_channels": 32, "num_heads": -1}
    with torch.inference_mode():
        return filled(comfy.model_base.SDXL(config, device="cpu"))


def trained(model: Any, clip: Any, **changes: Any) -> Any:
    from comfyui_lineas.train.request import TrainRequest
    from comfyui_lineas.train.training import train

    options = {"source": "a\nb b b b b\nccc", "target": "x x\nyyyyyyyyy", "steps": 3, "preview_every": 0}
    options |= {"width": 64, "height": 64, **changes}
    with torch.inference_mode():
        return train(model, clip, None, TrainRequest(**options))


def output(model: Any, clip: Any) -> torch.Tensor:
    """The latents of one step through the stock sampler."""
    import comfy.sample

    conditions = clip.encode_from_tokens_scheduled("abc")
    latents = torch.zeros(2, model.model.latent_format.latent_channels, 8, 8)
    with torch.inference_mode():
        noise = comfy.sample.prepare_noise(latents, 0)
        return comfy.sample.sample(
            *(model, noise, 1, 1.0, "euler", "simple"), conditions, conditions, latents, seed=0
        )


def falls(steering: Any) -> bool:
    settings = steering.provenance.settings
    return settings["cost"] < settings["cost_at_start"]


def test_a_transformer_keeps_its_names_and_says_so(flux: Any) -> None:
    from comfyui_lineas.apply.steering import apply_steering
    from comfyui_lineas.apply.placement import Placement

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
