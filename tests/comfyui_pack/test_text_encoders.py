"""Text encoders of other families than CLIP's are steered too: a T5, and the bundled transformer's Qwen 3."""

from __future__ import annotations

import copy
import shutil
import warnings
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from comfyui_pack import tiny
from comfyui_pack.tiny import falls, output, trained

pytestmark = pytest.mark.usefixtures("comfyui")


@pytest.fixture(scope="module")
def t5(comfyui: Any) -> Any:
    return SimpleNamespace(model=tiny.pixart(), clip=tiny.t5_clip())


@pytest.fixture(scope="module")
def qwen(comfyui: Any) -> Any:
    from comfyui_lineas.scenes.loading import load_scenes

    pytest.importorskip("comfy.text_encoders.z_image", reason="this release does not know Z-Image")
    with torch.inference_mode():
        model, clip, vae = load_scenes("scenes-transformer")
    return SimpleNamespace(model=model, clip=clip, vae=vae)


@pytest.mark.parametrize("family", ["t5", "qwen"])
def test_a_batch_is_encoded_as_the_stock_node_encodes_each(family: str, request: Any) -> None:
    from comfyui_lineas.train.conditioning import TextEncoders, encode, kinds_of
    from comfyui_lineas.train.trainable_weights import ordinary_weights

    clip = request.getfixturevalue(family).clip
    prompts = ["a red clock", "a cat (at night:1.3) in the snow", "a blue clock"]
    stock = encode(clip, [prompt.replace("(", "").replace(":1.3)", "") for prompt in prompts])
    first, second, third = kinds_of(stock, repeats=False)
    assert first == third != second
    with ordinary_weights([clip.cond_stage_model]):
        encoders = TextEncoders(clip, prompts if family == "t5" else [p.split(" (")[0] for p in prompts])
        together = encoders([0, 2])
        real = encoders.real("text_encoder", [0, 2])
    for (cross, extras), (wanted, others) in zip(together, [stock[0], stock[2]], strict=True):
        assert torch.allclose(cross, wanted, atol=1e-5) and extras.keys() == others.keys()
    assert real.all() and real.shape[0] == 2 and real.shape[1] >= cross.shape[1]


def test_a_concept_is_learned_through_a_t5(t5: Any) -> None:
    from comfyui_lineas.apply.steering import apply_steering
    from comfyui_lineas.train.request import END_TO_END

    steering = trained(t5.model, t5.clip, sites=END_TO_END, map="gated", width=384, height=384).steering
    assert falls(steering) and "ComfyUI alone" not in steering.provenance.notes
    names = [site.name for site in steering.sites]
    assert names[0] == "text_encoder.encoder.block.0.layer.0.layer_norm" and len(names) == 5
    _, clip = apply_steering(t5.model, t5.clip, steering, 1.0)
    _, off = apply_steering(t5.model, t5.clip, steering, 0.0)
    with torch.inference_mode():
        drawn = [output(t5.model, _tokenized(each), 48) for each in (t5.clip, clip, off, t5.clip)]
    assert not torch.equal(drawn[0], drawn[1])
    assert torch.equal(drawn[0], drawn[2]) and torch.equal(drawn[0], drawn[3])


def test_a_text_encoder_that_reads_nothing_is_left_as_it_is(comfyui: Any, caplog: Any) -> None:
    from comfyui_lineas.train.request import END_TO_END

    model, clip = tiny.pixart(), tiny.t5_clip()
    clip.cond_stage_model.byt5_small = copy.deepcopy(clip.cond_stage_model.t5xxl)  # nothing calls it
    result = trained(model, clip, sites=END_TO_END, map="gated", width=384, height=384)
    assert falls(result.steering)
    assert {site.component for site in result.steering.sites} == {"text_encoder"}
    assert "LinEAS: text_encoder_2 never ran for these prompts" in caplog.text


def test_norms_of_queries_and_keys_are_left_out(qwen: Any) -> None:
    from comfyui_lineas.models.tree import Tree
    from comfyui_lineas.train.chosen_sites import chosen_sites
    from comfyui_lineas.train.request import END_TO_END, SITES

    names = [site.name for site in chosen_sites(Tree(qwen.model, qwen.clip).components, SITES[END_TO_END])]
    text = [name for name in names if name.startswith("text_encoder.")]
    assert "text_encoder.layers.0.input_layernorm" in text and "text_encoder.norm" in text
    assert not [name for name in names if "q_norm" in name or "k_norm" in name]
    assert len(names) > len(text)


@pytest.mark.parametrize("intent", ["remove", "add"])
def test_one_file_draws_the_same_in_comfyui_and_in_diffusers(
    qwen: Any, intent: str, comfyui: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("diffusers")
    import comfy.sample

    from comfyui_lineas.apply.steering import apply_steering
    from comfyui_lineas.concepts.learned import learned
    from comfyui_lineas.concepts.request import ConceptInputs
    from lineas.adapters.images.drawing import Drawer
    from lineas.scenes.bundled import load_pipeline

    monkeypatch.setattr("lineas.intents.plan.HELD_OUT", 2)
    shutil.rmtree(comfyui.output / "steering", ignore_errors=True)
    inputs = ConceptInputs(what="at night", intent=intent, count=2, steps=3, preview_every=0)
    with torch.inference_mode():
        steering = learned(qwen.model, qwen.clip, None, inputs).steering
    active = [site.name for site in steering.active()]
    assert all(name.startswith("text_encoder.") for name in active)
    assert ("text_encoder.layers.1.mlp.down_proj" in active) == (intent == "add")
    text = "a red clock" if intent == "add" else "a red clock at night"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        drawer = Drawer(load_pipeline(name="scenes-transformer"), [steering])
        wanted, plain = (torch.from_numpy(np.array(drawer([text], each)[0])) for each in (1.0, 0.0))
    model, clip = apply_steering(qwen.model, qwen.clip, steering, 1.0)
    with torch.inference_mode():
        words = clip.encode_from_tokens_scheduled(clip.tokenize(text))
        noise = torch.randn(1, 16, 16, 16, generator=torch.Generator().manual_seed(0))
        zeros, how = torch.zeros_like(noise), (2, 1.0, "euler", "simple")
        latents = comfy.sample.sample(model, noise, *how, words, words, zeros, disable_pbar=True)
        image = qwen.vae.decode(latents)[0] * 255
    assert (image - wanted).abs().max() < 3
    assert (wanted.float() - plain.float()).abs().max() > 3


def test_tokens_of_the_prompt() -> None:
    from comfyui_lineas.apply.text_encoder import PromptTokens
    from lineas.steering.site import Site

    watch, module, z = PromptTokens(2), torch.nn.Identity(), torch.zeros(2, 5, 3)
    told = {"embeds": z, "num_tokens": [2, 4]}
    watch(module, (None, None), told)
    [empty, words] = watch.now(Site("text_encoder.norm"), z).tolist()
    assert empty == [False] * 5 and words == [True] * 4 + [False]
    padded_before = torch.tensor([[0, 0, 0, 1, 1], [0, 1, 1, 1, 1]])
    PromptTokens.__call__(watch := PromptTokens(0), module, (None, padded_before), told)
    assert watch.now(Site("text_encoder.norm"), z).tolist() == padded_before.bool().tolist()


def _tokenized(clip: Any) -> Any:
    """A CLIP that takes the text itself."""
    return SimpleNamespace(
        encode_from_tokens_scheduled=lambda text: clip.encode_from_tokens_scheduled(clip.tokenize(text))
    )
