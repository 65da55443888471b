"""A small Z-Image transformer in ComfyUI's class computes what it computes in diffusers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

pytest.importorskip("diffusers")


@pytest.fixture(autouse=True)
def z_image(comfyui: Any) -> None:
    pytest.importorskip("comfy.text_encoders.z_image", reason="this release does not know Z-Image")


@pytest.mark.parametrize("dim", [96, 192])
def test_the_velocity_is_that_of_diffusers(comfyui: Any, dim: int) -> None:
    from comfyui_lineas.scenes.zimage import build_transformer
    from tools.scenes_transformer.model import WORDS, build

    torch.manual_seed(0)
    transformer = build(vocabulary=300, dim=dim, layers=2, heads=2).transformer.eval()
    torch.nn.init.normal_(transformer.all_final_layer["2-1"].linear.weight, std=0.1)
    patcher = build_transformer(transformer.config, transformer.state_dict(), shift=1.0)
    latents, words = torch.randn(1, 16, 16, 16), torch.randn(1, 13, WORDS)
    for sigma in (1.0, 0.3):
        with torch.inference_mode():
            ours = patcher.model.diffusion_model(latents, torch.tensor([sigma]), words, num_tokens=13)
        with torch.no_grad():
            time = torch.tensor([1 - sigma])
            wanted = transformer([latents.movedim(0, 1)], time, [words[0]], return_dict=False)[0][0]
        assert torch.allclose(ours[0], -wanted[:, 0], atol=1e-4)


@pytest.mark.parametrize("prompt", ["a red clock at night", "", "pixel art of a cat (and) a Zebra"])
def test_prompts_are_encoded_as_in_diffusers(comfyui: Any, tmp_path: Path, prompt: str) -> None:
    from comfyui_lineas.scenes.qwen import build_text_encoder
    from tools.scenes_transformer.model import build
    from tools.scenes_transformer.tokenizer import build_tokenizer, token_ids

    torch.manual_seed(0)
    tokenizer = build_tokenizer()
    tokenizer.save_pretrained(tmp_path)
    model = build(len(tokenizer), dim=48, layers=1, heads=2).eval()
    text = model.text_encoder
    clip = build_text_encoder(text.config.to_dict(), text.state_dict(), tmp_path / "tokenizer.json")
    with torch.inference_mode():
        ours = clip.encode_from_tokens(clip.tokenize(prompt))
    with torch.no_grad():
        wanted = model.words(*map(torch.tensor, token_ids(tokenizer, [prompt])))[0]
    assert ours.shape == (1, *wanted.shape)
    assert torch.allclose(ours[0], wanted, atol=1e-4)


@pytest.mark.parametrize("steps", [2, 4])
def test_the_bundled_transformer_draws_the_image_of_diffusers(comfyui: Any, steps: int) -> None:
    import comfy.sample

    from comfyui_lineas.scenes.loading import load_scenes
    from lineas.adapters.images.drawing import Drawer
    from lineas.adapters.images.recipes import recipe_for
    from lineas.scenes.bundled import load_pipeline

    text = "a red clock at night"
    pipe = load_pipeline(name="scenes-transformer")
    recipe = replace(recipe_for(pipe), steps=steps, capture=None)
    wanted = torch.from_numpy(np.array(Drawer(pipe, recipe=recipe)([text])[0]))
    model, clip, vae = load_scenes("scenes-transformer")
    words = clip.encode_from_tokens_scheduled(clip.tokenize(text))
    noise = torch.randn(1, 16, 16, 16, generator=torch.Generator().manual_seed(0))
    latents = comfy.sample.sample(
        model, noise, steps, 1.0, "euler", "simple", words, words, torch.zeros_like(noise), disable_pbar=True
    )
    with torch.inference_mode():
        image = vae.decode(latents)[0] * 255
    assert (image - wanted).abs().max() < 2


def test_the_bundled_transformer_says_what_it_is(comfyui: Any) -> None:
    from comfyui_lineas.models.base_models import base_model_of, native_size
    from comfyui_lineas.scenes.loading import scenes_model

    model = scenes_model("scenes-transformer")
    assert (base_model_of(model), native_size(model)) == ("lineas/scenes-transformer", 128)
