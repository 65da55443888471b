"""The training of the bundled transformer at tiny size: tokens, stock pipeline, resuming."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip("diffusers")

from lineas.scenes.grammar import prompt, random_scene, vocabulary
from lineas.scenes.nuisance import nuisance
from tools.scenes_model.tapered import Tapered, stock
from tools.scenes_transformer import flow
from tools.scenes_transformer.latents import noise
from tools.scenes_transformer.model import LATENTS, Flow, build
from tools.scenes_transformer.package import assemble
from tools.scenes_transformer.tokenizer import LENGTH, build_tokenizer, token_ids

TINY = {"dim": 48, "layers": 1, "heads": 2}


@pytest.fixture(scope="module")
def tokenizer():
    return build_tokenizer()


@pytest.fixture(scope="module")
def model(tokenizer) -> Flow:
    torch.manual_seed(0)
    model = build(len(tokenizer), **TINY)
    torch.nn.init.normal_(model.transformer.all_final_layer["2-1"].linear.weight, std=0.1)
    return model.eval()


def test_known_words_are_single_tokens(tokenizer) -> None:
    for word in vocabulary():
        assert len(tokenizer.tokenize(word)) == 1 == len(tokenizer.tokenize(f" {word}"))
    assert tokenizer.decode(tokenizer("a purple Zebra, 100 %").input_ids) == "a purple Zebra, 100 %"


def test_prompts_of_the_grammar_fit(tokenizer) -> None:
    rng = np.random.default_rng(0)
    prompts = [prompt(random_scene(rng), rng) for _ in range(500)]
    _, mask = token_ids(tokenizer, prompts)
    assert max(map(sum, mask)) < LENGTH


def test_noise_holds_the_uniform_numbers() -> None:
    u = torch.rand(5, 12, dtype=torch.float64) * 0.98 + 0.01
    made = noise(u, torch.Generator().manual_seed(0))
    assert made.shape == (5, LATENTS, 16, 16)
    assert np.allclose(nuisance(made[:, :4]), u.numpy(), atol=1e-4)


@pytest.mark.parametrize("steps", [1, 4])
def test_the_stock_pipeline_draws_the_same(model: Flow, tokenizer, tmp_path: Path, steps: int) -> None:
    from diffusers import ZImagePipeline

    autoencoder = stock(Tapered((8,) * 4, (0, 1, 1, 1), (1, 1, 1, 0), LATENTS))
    assemble(model, autoencoder).save_pretrained(tmp_path)
    pipe = ZImagePipeline.from_pretrained(tmp_path)
    pipe.set_progress_bar_config(disable=True)
    prompts = ["a red clock at night", "a cat and a turtle on the beach in the rain, pixel art"]
    start = torch.randn(2, LATENTS, 16, 16, generator=torch.Generator().manual_seed(1))
    drawn = pipe(
        list(prompts),
        height=128,
        width=128,
        num_inference_steps=steps,
        guidance_scale=0,
        latents=start,
        output_type="latent",
    ).images
    tokens, mask = map(torch.tensor, token_ids(tokenizer, prompts))
    assert torch.allclose(drawn, model.draw(tokens, mask, start, steps), atol=1e-4)
    again = build(len(tokenizer), **TINY)
    again.begin(tmp_path)
    assert torch.equal(again.draw(tokens, mask, start, steps), model.draw(tokens, mask, start, steps))


def test_training_resumes(tmp_path: Path, tokenizer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flow, "build", lambda vocabulary: build(vocabulary, **TINY))
    monkeypatch.setattr(flow, "SAVE_EVERY", 1)
    tokens, mask = token_ids(tokenizer, ["a cat"] * 8)
    for number in (0, flow.HELD_OUT_SEED):
        np.savez(
            tmp_path / f"{number:07d}.npz",
            latents=np.zeros((8, LATENTS, 16, 16), np.float16),
            u=np.full((8, 12), 0.5),
            tokens=np.array(tokens, np.int16),
            mask=np.array(mask, bool),
            occupied=np.zeros((8, 16, 16), bool),
        )
    settings = {"latents": tmp_path, "output": tmp_path / "out", "batch": 2, "muon_lr": 0.01, "adam_lr": 1e-3}
    settings["start"] = None
    steps, minutes = [], 0.01
    for _ in range(2):
        flow.train(argparse.Namespace(minutes=minutes, **settings))
        state = torch.load(tmp_path / "out" / "checkpoint.pt", weights_only=True)
        steps.append(state["step"])
        minutes += state["spent"] / 60
    assert 0 < steps[0] < steps[1]
