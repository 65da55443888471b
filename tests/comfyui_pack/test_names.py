"""The names at the border, against diffusers' own; needs no ComfyUI."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from comfyui_lineas.models.names import image_names, serves_comfyui_alone, text_names

# levels of (residual blocks, depth of transformers), depth in the middle
STABLE_DIFFUSION = ([(2, 1), (2, 1), (2, 1), (2, 0)], 1)
SDXL = ([(2, 0), (2, 2), (2, 10)], 10)
SCENES = ([(1, 0), (1, 1), (1, 1)], 1)
SHAPES = {"Stable Diffusion": STABLE_DIFFUSION, "SDXL": SDXL, "scenes": SCENES}

RESNET = ("in_layers.0", "in_layers.2", "emb_layers.1", "out_layers.0", "out_layers.3")
BLOCK = (
    *("norm1", "norm2", "norm3", "attn1.to_q", "attn1.to_k", "attn1.to_v", "attn1.to_out.0"),
    *("attn2.to_q", "attn2.to_k", "attn2.to_v", "attn2.to_out.0", "ff.net.0.proj", "ff.net.2"),
)


def comfyui_paths(levels: list[tuple[int, int]], middle: int, embedding: bool) -> list[str]:
    """Modules with weights of a UNet as ComfyUI lays it out, with all that are above them."""
    found = ["time_embed.0", "time_embed.2", "input_blocks.0.0", "out.0", "out.2"]
    found += ["label_emb.0.0", "label_emb.0.2"] if embedding else []
    found += [f"middle_block.{index}.{part}" for index in (0, 2) for part in RESNET]
    found += list(attention("middle_block.1", middle))
    block = 1
    for level, (count, depth) in enumerate(levels):
        for number in range(count):
            found += [f"input_blocks.{block}.0.{part}" for part in RESNET]
            found += [f"input_blocks.{block}.0.skip_connection"] if level and not number else []
            found += list(attention(f"input_blocks.{block}.1", depth))
            block += 1
        if level < len(levels) - 1:
            found.append(f"input_blocks.{block}.0.op")
            block += 1
    block = 0
    for level, (count, depth) in reversed(list(enumerate(levels))):
        for number in range(count + 1):
            found += [f"output_blocks.{block}.0.{part}" for part in (*RESNET, "skip_connection")]
            found += list(attention(f"output_blocks.{block}.1", depth))
            if level and number == count:
                found.append(f"output_blocks.{block}.{2 if depth else 1}.conv")
            block += 1
    return found


def attention(prefix: str, depth: int) -> Iterator[str]:
    if depth:
        yield from (f"{prefix}.{part}" for part in ("norm", "proj_in", "proj_out"))
    for number in range(depth):
        yield from (f"{prefix}.transformer_blocks.{number}.{part}" for part in BLOCK)


def with_parents(paths: list[str]) -> list[str]:
    parts = [path.split(".") for path in paths]
    return [".".join(names[:length]) for names in parts for length in range(1, len(names) + 1)]


def diffusers_unet(levels: list[tuple[int, int]], middle: int, embedding: bool) -> Any:
    diffusers = pytest.importorskip("diffusers")
    kinds = ["CrossAttnDownBlock2D" if depth else "DownBlock2D" for _, depth in levels]
    extra = {
        "addition_embed_type": "text_time",
        "addition_time_embed_dim": 8,
        "projection_class_embeddings_input_dim": 64,
    }
    return diffusers.UNet2DConditionModel(
        block_out_channels=[32 * 2**level for level in range(len(levels))],
        layers_per_block=levels[0][0],
        down_block_types=kinds,
        up_block_types=[kind.replace("Down", "Up") for kind in reversed(kinds)],
        transformer_layers_per_block=[max(1, depth) for _, depth in levels],
        cross_attention_dim=16,
        attention_head_dim=4,
        **(extra if embedding else {}),
    )


@pytest.mark.parametrize("name", SHAPES)
def test_every_module_with_weights_has_the_name_of_diffusers(name: str) -> None:
    embedding = name == "SDXL"
    paths = comfyui_paths(*SHAPES[name], embedding)
    names = image_names(with_parents(paths))
    ours = {canonical for canonical, path in names.items() if path in set(paths)}
    unet = diffusers_unet(*SHAPES[name], embedding)
    theirs = {
        f"unet.{path}" for path, module in unet.named_modules() if list(module.parameters(recurse=False))
    }
    assert ours == theirs


@pytest.mark.parametrize("name", SHAPES)
def test_names_translate_both_ways(name: str) -> None:
    names = image_names(with_parents(comfyui_paths(*SHAPES[name], False)))
    assert len(set(names.values())) == len(names)
    assert not any(map(serves_comfyui_alone, names))


def test_the_bundled_model_is_covered(scenes: Any) -> None:
    from safetensors import safe_open

    from lineas.scenes.bundled import PIPELINE

    paths = [name for name, _ in scenes.model.model.diffusion_model.named_modules()]
    with safe_open(PIPELINE / "unet" / "diffusion_pytorch_model.safetensors", "pt") as file:
        modules = {f"unet.{key.rpartition('.')[0]}" for key in file.keys()}  # noqa: SIM118
    assert modules <= image_names(paths).keys()


def test_other_architectures_keep_their_names() -> None:
    paths = ["double_blocks", "double_blocks.0", "double_blocks.0.img_attn.proj"]
    assert image_names(paths) == {f"comfy.{path}": path for path in paths}
    assert serves_comfyui_alone("comfy.double_blocks.0.img_attn.proj")


def test_text_encoders() -> None:
    layer = "transformer.text_model.encoder.layers.0.layer_norm1"
    paths = [f"{encoder}.{layer}" for encoder in ("clip_l", "clip_g")] + [
        "t5xxl.transformer.shared",
        "clip_l",
    ]
    assert text_names(paths) == {
        "text_encoder.text_model.encoder.layers.0.layer_norm1": f"clip_l.{layer}",
        "text_encoder_2.text_model.encoder.layers.0.layer_norm1": f"clip_g.{layer}",
        "text_encoder_3.shared": "t5xxl.transformer.shared",
    }
    assert list(text_names([f"clip_h.{layer}"])) == ["text_encoder.text_model.encoder.layers.0.layer_norm1"]


def test_language_models_that_read_prompts() -> None:
    seen = ["visual.blocks.0.norm1", "vision_model.embeddings", "multi_modal_projector"]
    names = ["model", "model.layers.0.input_layernorm", *seen]
    paths = [f"qwen25_7b.transformer.{name}" for name in names]
    assert text_names(paths) == {"text_encoder.layers.0.input_layernorm": paths[1]}
    both = ["clip_l.transformer.text_model", "t5xxl.transformer.encoder"]
    assert list(text_names(both)) == ["text_encoder.text_model", "text_encoder_2.encoder"]
    assert list(text_names(["clip_g.transformer.x", "t5xxl.transformer.y"])) == [
        "text_encoder_2.x",
        "text_encoder_3.y",
    ]
