"""Steer Concept: learned on first use, taken from its file from then on; virtual tokens through Apply."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

SMALL = {"what": "at night", "intent": "remove", "count": 2, "steps": 2, "preview_every": 0}


@pytest.fixture
def concept(comfyui: Any, scenes: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """(model=, clip=, …) -> what the node learned or found, with few prompts and steps."""
    from comfyui_lineas.concepts.learned import learned
    from comfyui_lineas.concepts.request import ConceptInputs

    monkeypatch.setattr("lineas.intents.plan.HELD_OUT", 2)
    shutil.rmtree(comfyui.output / "steering", ignore_errors=True)

    @torch.inference_mode()
    def run(model: Any = None, clip: Any = None, **changes: Any) -> Any:
        inputs = ConceptInputs(**{**SMALL, **changes})
        return learned(model or scenes.model, clip or scenes.clip, None, inputs)

    return run


def files(comfyui: Any) -> list[Path]:
    return sorted((comfyui.output / "steering").glob("*.safetensors"))


@pytest.mark.usefixtures("unchanged")
def test_the_same_is_never_learned_twice(comfyui: Any, concept: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from comfyui_lineas.concepts import learned

    first = concept()
    [path] = files(comfyui)
    assert first.is_new and path.name.startswith("remove-at-night")
    assert str(path) in first.summary
    path.rename(path.with_name("mine.safetensors"))
    monkeypatch.setattr(learned, "_keys", {})  # as after a restart
    again = concept(preview_every=3, file_name="another")
    assert not again.is_new and again.steering.allclose(first.steering)
    assert "learned before" in again.summary and len(files(comfyui)) == 1
    assert concept(seed=1).is_new and len(files(comfyui)) == 2


def test_a_patched_model_is_another_one(concept: Any, scenes: Any, steering_for: Any) -> None:
    from comfyui_lineas.apply.placement import Placement
    from comfyui_lineas.apply.steering import apply_steering
    from comfyui_lineas.concepts.identity import key_of
    from comfyui_lineas.concepts.request import ConceptInputs

    plan = ConceptInputs(**SMALL).plan("lineas/scenes", reads_text=True)
    steering = steering_for("*norm*")
    models = [(scenes.model, scenes.clip)]
    for strength in (0.5, 1.0):
        for method in ("weights", "hooks"):
            placed = Placement(method=method)
            models.append(apply_steering(scenes.model, scenes.clip, steering, strength, placed))
    keys = [key_of(model, clip, plan) for model, clip in models]
    assert len(set(keys)) == len(keys)
    assert keys == [key_of(model, clip, plan) for model, clip in models]
    model, clip = apply_steering(scenes.model, scenes.clip, steering, 0.5, Placement(method="hooks"))
    assert key_of(model, clip, plan) == keys[2]


def test_a_model_whose_text_encoder_cannot_be_steered_gets_another_plan() -> None:
    from comfyui_lineas.concepts.request import ConceptInputs, ConceptRequest

    inputs = ConceptInputs(what="at night", intent="add", steps=7)
    plan = inputs.plan("Z-Image", reads_text=False)
    request = ConceptRequest(plan, "", inputs)
    assert request.patterns() == ["unet.*norm*"] and "image model" in plan.text()
    assert (request.config().steps, request.config().map) == (7, "affine")


@pytest.mark.usefixtures("unchanged")
def test_what_is_added_lies_behind_the_prompt(concept: Any, scenes: Any, draw: Any) -> None:
    from comfyui_lineas.apply.steering import apply_steering

    made = concept(what="in the fog", intent="add").steering
    assert {map.kind for map in made.maps.values() if not map.is_identity} == {"virtual"}
    before = draw(prompt="a house in the meadow")
    model, clip = apply_steering(scenes.model, scenes.clip, made, 1.0)
    assert not torch.equal(draw(model, clip, prompt="a house in the meadow"), before)
    off = apply_steering(scenes.model, scenes.clip, made, 0.0)
    assert torch.equal(draw(*off, prompt="a house in the meadow"), before)


@pytest.mark.parametrize("other", ["final_layer_norm", "encoder.layers.1.mlp.fc2"])
def test_several_additions_take_positions_of_their_own(scenes: Any, other: str) -> None:
    """Those of the text encoder as a whole: a second one may act at other sites of it."""
    from comfyui_lineas.apply.steering import apply_steering
    from lineas.maps.virtual_tokens import VirtualTokenMap
    from lineas.steering.site import Site
    from lineas.steering.steering import Steering

    name = "text_encoder.text_model."
    width = scenes.clip.cond_stage_model.clip_l.transformer.get_input_embeddings().weight.shape[1]
    zeros = torch.zeros(width)
    one = VirtualTokenMap(torch.linspace(-5, 5, width).expand(2, -1), zeros, zeros, torch.zeros(()))
    steering, second = (Steering({Site(name + each): one}) for each in ("final_layer_norm", other))

    def moved(clip: Any) -> list[int]:
        with torch.inference_mode():
            both = [each.encode_from_tokens(each.tokenize("a house")) for each in (scenes.clip, clip)]
        return ((both[0] - both[1]).abs().amax(-1)[0] > 1e-4).nonzero()[:, 0].tolist()

    _, once = apply_steering(scenes.model, scenes.clip, steering, 1.0)
    _, twice = apply_steering(scenes.model, once, second, 1.0)
    end = 3  # start, a, house, then the end token
    assert moved(once) == [end, end + 1]
    assert moved(twice) == [end, end + 1, end + 2, end + 3]
