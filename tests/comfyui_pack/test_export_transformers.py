"""LoRA files of every image model: ComfyUI's loader knows the names and draws what it should."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from comfyui_pack.test_every_architecture import MODELS, applied, model_of, output, steering_at

from lineas.architectures.comfyui_names import NAMES, comfyui_name
from lineas.errors import ExportError
from lineas.export.lora import lora_state_dict
from lineas.maps.affine import AffineMap
from lineas.modules.kinds import width
from lineas.modules.names import find_sites, named_modules
from lineas.steering.steering import Steering

pytestmark = pytest.mark.usefixtures("comfyui")


@pytest.fixture(scope="module")
def models(comfyui: Any) -> dict[str, Any]:
    return {}


def with_lora(model: Any, tensors: Any, strength: float) -> Any:
    import comfy.sd

    return comfy.sd.load_lora_for_models(model, None, dict(tensors), strength, 0)[0]


@pytest.mark.parametrize("name", MODELS)
def test_the_stock_loader_draws_what_apply_draws(models: dict[str, Any], comfyui: Any, name: str) -> None:
    import comfy.utils

    from comfyui_lineas.apply.lora import export_lora

    model, clip, side = model_of(models, name)
    steering = steering_at(model, MODELS[name], shifts=False)
    with torch.inference_mode():
        exported = export_lora(model, None, steering, name, precision="float32")
    tensors = comfy.utils.load_torch_file(str(comfyui.output / "loras" / exported.name), safe_load=True)
    assert all(key.startswith(("diffusion_model.", "lora_unet_")) for key in tensors)
    base = output(model, clip, side)
    for strength in (1.0, -0.5):
        expected = output(applied(model, steering, strength), clip, side)
        assert (expected - base).abs().max() > 1e-3
        got = output(with_lora(model, tensors, strength), clip, side)
        torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-5)


# Classes of diffusers of the sizes of the models in `tiny`, and sites that both have.
DIFFUSERS: dict[str, tuple[str, dict[str, Any], list[str]]] = {
    "flux": ("FluxTransformer2DModel",
             {"patch_size": 1, "in_channels": 64, "num_layers": 1, "num_single_layers": 1,
              "attention_head_dim": 16, "num_attention_heads": 2, "joint_attention_dim": 12,
              "pooled_projection_dim": 8, "axes_dims_rope": (4, 6, 6)},
             ["*attn.to_out.0", "*attn.to_add_out", "*single_transformer_blocks.*.proj_out"]),
    "sd3": ("SD3Transformer2DModel",
            {"sample_size": 8, "patch_size": 2, "in_channels": 16, "num_layers": 2, "attention_head_dim": 64,
             "num_attention_heads": 2, "joint_attention_dim": 12, "caption_projection_dim": 128,
             "pooled_projection_dim": 8, "out_channels": 16, "pos_embed_max_size": 16},
            ["*attn.to_out.0", "*ff.net.2"]),
    "qwen_image": ("QwenImageTransformer2DModel",
                   {"in_channels": 64, "out_channels": 16, "num_layers": 2, "attention_head_dim": 24,
                    "num_attention_heads": 2, "joint_attention_dim": 12, "axes_dims_rope": (8, 8, 8)},
                   ["*attn.to_out.0", "*_mlp.net.2"]),
    "wan": ("WanTransformer3DModel",
            {"num_attention_heads": 2, "attention_head_dim": 24, "in_channels": 16, "out_channels": 16,
             "text_dim": 12, "freq_dim": 16, "ffn_dim": 64, "num_layers": 2, "cross_attn_norm": True},
            ["*attn?.to_out.0", "*ffn.net.2", "*.norm2"]),
    "pixart": ("PixArtTransformer2DModel",
               {"num_attention_heads": 2, "attention_head_dim": 24, "in_channels": 4, "out_channels": 8,
                "num_layers": 2, "cross_attention_dim": 48, "sample_size": 8, "patch_size": 2,
                "caption_channels": 12, "use_additional_conditions": False},
               ["*attn?.to_out.0", "*ff.net.2"]),
    "lumina2": ("Lumina2Transformer2DModel",
                {"sample_size": 8, "in_channels": 16, "hidden_size": 48, "num_layers": 2,
                 "num_refiner_layers": 1, "num_attention_heads": 2, "num_kv_heads": 2, "multiple_of": 16,
                 "axes_dim_rope": (8, 8, 8),
                 "axes_lens": (300, 64, 64), "cap_feat_dim": 12},
                ["*norm1.norm", "*.norm2", "*attn.to_out.0", "*feed_forward.linear_2"]),
}  # fmt: skip


@pytest.mark.parametrize("name", DIFFUSERS)
def test_a_file_from_diffusers_acts_in_comfyui_at_the_same_layers(models: dict[str, Any], name: str) -> None:
    """The layers of both are given the same weights, as those of a checkpoint in both forms."""
    diffusers = pytest.importorskip("diffusers")
    kind, options, patterns = DIFFUSERS[name]
    model, clip, side = model_of(models, name)
    model.detach(unpatch_all=True)  # what an earlier run has put into its weights
    theirs = dict(model.model.diffusion_model.named_modules())
    transformer = getattr(diffusers, kind)(**options).requires_grad_(False)
    base = {"transformer": transformer}
    mine, random = named_modules(base), torch.Generator().manual_seed(0)
    maps, there = {}, {}
    for site in find_sites(base, patterns):
        layer, path = mine[site.name], comfyui_name(transformer, site.name.partition(".")[2])
        assert path is not None, site
        for each in [name for name, _ in layer.named_parameters()]:
            held = getattr(theirs[path], each).clone()
            setattr(layer, each, torch.nn.Parameter(held, requires_grad=False))
        units = width(layer)
        assert units is not None
        numbers = 0.5 * torch.randn(2, units, generator=random)
        map = AffineMap(numbers[0], numbers[1] if layer.bias is not None else torch.zeros(units))
        maps[site], there[f"comfy.{path}"] = map, map
    on_comfyui = Steering({site: there[site.name] for site in find_sites(tree(model), list(there))})
    tensors = lora_state_dict(Steering(maps), base)
    expected = output(applied(model, on_comfyui), clip, side)
    got = output(with_lora(model, tensors, 1.0), clip, side)
    assert (expected - output(model, clip, side)).abs().max() > 1e-3
    torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-5)


def tree(model: Any) -> Any:
    from comfyui_lineas.models.tree import Tree

    return Tree(model).components


def test_layers_that_comfyui_holds_with_others_are_refused() -> None:
    diffusers = pytest.importorskip("diffusers")
    kind, options, _ = DIFFUSERS["flux"]
    base = {"transformer": getattr(diffusers, kind)(**options)}
    sites = find_sites(base, "*.attn.to_q")
    with pytest.raises(ExportError, match="no name for this module"):
        lora_state_dict(Steering({site: AffineMap(torch.ones(32), torch.ones(32)) for site in sites}), base)


TABLES = {
    "FluxTransformer2DModel": ("flux_to_diffusers", {"depth": 1, "depth_single_blocks": 1, "hidden_size": 8}),
    "Flux2Transformer2DModel": (
        "flux_to_diffusers",
        {"depth": 1, "depth_single_blocks": 1, "hidden_size": 8},
    ),
    "SD3Transformer2DModel": ("mmdit_to_diffusers", {"depth": 1}),
    "PixArtTransformer2DModel": ("pixart_to_diffusers", {"depth": 1}),
    "AuraFlowTransformer2DModel": ("auraflow_to_diffusers", {"n_double_layers": 1, "n_layers": 2}),
    "ZImageTransformer2DModel": ("z_image_to_diffusers", {"n_layers": 1, "n_refiner_layers": 1}),
    "Krea2Transformer2DModel": ("krea2_to_diffusers", {"layers": 1}),
}


@pytest.mark.parametrize("kind", TABLES)
def test_names_are_those_of_comfyuis_own_table(kind: str) -> None:
    import comfy.utils

    function, config = TABLES[kind]
    if not hasattr(comfy.utils, function):
        pytest.skip(f"this release of ComfyUI has no {function}")
    known = getattr(comfy.utils, function)(config)
    compared = 0
    for pattern, name in NAMES[kind].items():
        key = f"{pattern.replace('*', '0')}.weight"
        if key in known:
            assert known[key] == f"{name.replace('*', '0')}.weight"
            compared += 1
    assert compared >= 4
