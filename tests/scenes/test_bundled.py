"""The shipped weights: stock classes load them, one step draws, and images show what was asked."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from lineas.adapters.images.clip_score import ClipScore
from lineas.scenes.bundled import CLIP, FOLDERS, PIPELINE, WEIGHTS, accuracies, load_pipeline
from lineas.scenes.detector import Detector
from lineas.scenes.grammar import parse, prompt, random_scene
from lineas.scenes.nuisance import COUNT
from lineas.scenes.render import render

diffusers = pytest.importorskip("diffusers")


@pytest.fixture(scope="module")
def pipe():
    return load_pipeline()


def draw(pipe, prompts, seed=0):
    generators = [torch.Generator().manual_seed(seed + i) for i in range(len(prompts))]
    return pipe(prompts, num_inference_steps=1, guidance_scale=0.0, generator=generators).images


def test_all_but_the_transformer_and_the_transformer_are_at_most_16_megabytes_each():
    files = [path for path in WEIGHTS.parent.rglob("*") if path.is_file() and path.suffix != ".pyc"]
    sizes = {True: 0, False: 0}
    for path in files:
        sizes[path.is_relative_to(FOLDERS["scenes-transformer"])] += path.stat().st_size
    assert max(sizes.values()) <= 16e6


def test_stock_diffusers_loads_the_folder(pipe):
    stock = diffusers.StableDiffusionPipeline.from_pretrained(str(PIPELINE))
    assert type(stock.vae).__name__ == "AutoencoderTiny"
    assert type(stock.unet).__name__ == "UNet2DConditionModel"
    assert pipe.unet.dtype == torch.float32


def test_one_scheduler_step_returns_the_output_of_the_unet(pipe):
    noise = torch.randn(1, 4, 16, 16, generator=torch.Generator().manual_seed(3))
    pipe.scheduler.set_timesteps(1)
    sample = noise * pipe.scheduler.init_noise_sigma
    t = pipe.scheduler.timesteps[0]
    words = pipe.text_encoder(pipe.tokenizer(["a cat"], padding="max_length", return_tensors="pt").input_ids)[
        0
    ]
    with torch.no_grad():
        output = pipe.unet(pipe.scheduler.scale_model_input(sample, t), t, encoder_hidden_states=words).sample
    torch.testing.assert_close(
        pipe.scheduler.step(output, t, sample).prev_sample, output, atol=1e-4, rtol=1e-4
    )


def test_every_known_word_is_one_token(pipe):
    from lineas.scenes.grammar import vocabulary

    assert all(len(pipe.tokenizer(word).input_ids) == 3 for word in vocabulary())


def test_transformers_4_and_5_find_the_same_text_encoder(pipe):
    """4 reads vocab.json and merges.txt, and leaves every weight untrained whose name lacks `text_model.`."""
    folder = PIPELINE / "text_encoder"
    assert all(name.startswith("text_model.") for name in load_file(folder / "model.safetensors"))
    for name in ("vocab.json", "merges.txt"):
        assert (PIPELINE / "tokenizer" / name).read_bytes() == (CLIP / name).read_bytes()
    assert pipe.tokenizer("a cat at night").input_ids == [
        325,
        *pipe.tokenizer.convert_tokens_to_ids(["a</w>", "cat</w>", "at</w>", "night</w>"]),
        326,
    ]
    stored = load_file(folder / "model.safetensors")["text_model.final_layer_norm.weight"]
    loaded = {k.removeprefix("text_model."): v for k, v in pipe.text_encoder.state_dict().items()}
    assert torch.equal(loaded["final_layer_norm.weight"], stored)


def test_the_detector_reads_fresh_renders():
    rng = np.random.default_rng(77)
    scenes = [random_scene(rng) for _ in range(96)]
    found = Detector.load().found([render(scene, rng.random(COUNT)) for scene in scenes])
    for kind in ("object", "place", "time", "weather", "style"):
        right = [
            {p for p in f if p[0] == kind} == {p for p in s.visible() if p[0] == kind}
            for f, s in zip(found, scenes, strict=True)
        ]
        assert np.mean(right) > 0.9, kind


def test_generated_images_show_what_the_prompts_name(pipe):
    rng = np.random.default_rng(78)
    prompts = [prompt(random_scene(rng), rng) for _ in range(32)]
    found = Detector.load().found(draw(pipe, prompts))
    named = [{p for p in parse(text).concepts() if p[0] in ("object", "place", "style")} for text in prompts]
    shown = [p in f for f, n in zip(found, named, strict=True) for p in n]
    assert np.mean(shown) > 0.8


def test_the_open_clip_model_tells_prompts_apart():
    pytest.importorskip("open_clip")
    rng = np.random.default_rng(79)
    scenes = [random_scene(rng) for _ in range(16)]
    from PIL import Image

    images = [Image.fromarray(render(scene, rng.random(COUNT))) for scene in scenes]
    clip = ClipScore.load(CLIP)
    similarity = clip.encode_images(images) @ clip.encode_texts([prompt(scene) for scene in scenes]).T
    assert (similarity.argmax(1) == torch.arange(16)).float().mean() > 0.6


def test_the_accuracies_are_written_down():
    figures = accuracies()
    assert {"detector", "clip", "generator"} <= set(figures)
    json.dumps(figures)
