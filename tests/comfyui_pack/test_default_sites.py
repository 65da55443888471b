"""Every image model of ComfyUI is trained by default where it is read best, and applied as it was trained."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from comfyui_pack import tiny
from comfyui_pack.test_every_architecture import MODELS, applied, by_library, model_of
from comfyui_pack.tiny import falls, output, trained

pytestmark = pytest.mark.usefixtures("comfyui")


@pytest.fixture(scope="module")
def models(comfyui: Any) -> dict[str, Any]:
    return {}


def at(blocks: str, count: int, *ends: str) -> set[str]:
    return {f"{blocks}.{number}.{end}" for number in range(count) for end in ends}


SANDWICH = ("attention_norm1", "attention_norm2", "ffn_norm1", "ffn_norm2")
LUMINA = ("norm1.norm", "norm2", "ffn_norm1", "ffn_norm2")
FLUX = at("double_blocks", 1, "img_attn.proj", "img_mlp.2")
SITES = {
    "sd3": at("joint_blocks", 2, "x_block.attn.proj", "x_block.mlp.fc2"),
    "pixart": at("blocks", 2, "attn.proj", "cross_attn.proj", "mlp.fc2"),
    "hunyuan_dit": at("blocks", 4, "norm1", "norm2", "norm3"),
    "lumina2": at("noise_refiner", 1, *SANDWICH) | at("layers", 2, *SANDWICH),
    "z_image": at("noise_refiner", 1, *SANDWICH) | at("layers", 1, *SANDWICH),
    "omnigen2": at("noise_refiner", 1, *LUMINA) | at("layers", 2, *LUMINA),
    "qwen_image": at("transformer_blocks", 2, "attn.to_out.0", "img_mlp.net.2"),
    "wan": at("blocks", 2, "self_attn.o", "cross_attn.o", "ffn.2"),
    "flux": FLUX | at("single_blocks", 1, "linear2"),
    "flux2": FLUX | at("single_blocks", 2, "linear2"),
    "chroma": FLUX | at("single_blocks", 1, "linear2"),
    "longcat_image": FLUX | at("single_blocks", 1, "linear2"),
    "hunyuan_image": FLUX | at("single_blocks", 1, "linear2"),
    "ovis_image": at("double_blocks", 1, "img_attn.proj", "img_mlp.down_proj") | {"single_blocks.0.linear2"},
    "aura_flow": at("double_layers", 1, "attn.w2o", "mlpX.c_proj")
    | at("single_layers", 1, "attn.w1o", "mlp.c_proj"),
    "cosmos_predict2": at("blocks", 2, "self_attn.output_proj", "cross_attn.output_proj", "mlp.layer2"),
    "hidream": at("double_stream_blocks", 1, "block.attn1.to_out", "block.ff_i.shared_experts.w2")
    | at("single_stream_blocks", 1, "block.attn1.to_out", "block.ff_i.shared_experts.w2"),
    "kandinsky5": at(
        "visual_transformer_blocks",
        2,
        *("self_attention.out_layer", "cross_attention.out_layer", "feed_forward.out_layer"),
    ),
    "krea2": at("blocks", 2, "prenorm", "postnorm"),
    "ernie_image": at("layers", 2, "adaLN_sa_ln", "adaLN_mlp_ln"),
    "ideogram4": at("layers", 2, *SANDWICH),
}
"""Of the transformers; in a UNet all norms are steered."""
UNET_BLOCKS = {"down_blocks.0", "down_blocks.1", "mid_block", "up_blocks.0", "up_blocks.1"}


@pytest.mark.parametrize("name", MODELS)
def test_the_default_sites_are_trained_and_applied(models: dict[str, Any], name: str) -> None:
    model, clip, side = model_of(models, name)
    base = output(model, clip, side)
    size = 272 if name == "pixart" else 64  # ComfyUI's PixArt takes no smaller images
    steering = trained(model, clip, width=size, height=size, steps=4).steering
    assert falls(steering) and steering.provenance.settings["cost_at_start"] > 1e-3
    names = {site.name.partition(".")[2] for site in steering.sites}
    if name in SITES:
        assert names == SITES[name]
    else:
        assert all(any(each.startswith(f"{block}.") for each in names) for block in UNET_BLOCKS)
    assert torch.equal(output(model, clip, side), base)
    by_hooks = output(applied(model, steering, method="hooks"), clip, side)
    assert (by_hooks - base).abs().max() > 1e-3 * base.abs().max()
    close = {"rtol": 1e-4, "atol": 1e-5 * float(base.abs().max())}
    torch.testing.assert_close(by_hooks, by_library(model, clip, steering, side), **close)
    torch.testing.assert_close(output(applied(model, steering), clip, side), by_hooks, **close)
    assert torch.equal(output(model, clip, side), base)


def test_sites_of_a_class_that_is_not_known_are_told(
    comfyui: Any, told: Any, running: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from comfyui_lineas.models.tree import Tree
    from comfyui_lineas.train import chosen_sites as module

    monkeypatch.setattr(module, "comfyui_sites", lambda names: ())
    components = Tree(tiny.cosmos_predict2()).components
    with running("7"):
        sites = module.chosen_sites(components, ["unet.*norm*"])
    assert {site.name.partition(".")[2] for site in sites} == SITES["cosmos_predict2"]
    [(text, node)] = told
    assert node == "7" and "6 sites in 2 of 2 blocks" in text
