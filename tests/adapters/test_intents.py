"""Intents are carried out on pipelines of many kinds and on language models, and leave the model alone."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from toys import language, pipelines, transformers

import lineas
from lineas.adapters.intents import carry_out, plan
from lineas.architectures.recipe import Recipe
from lineas.errors import ConfigError, PromptError
from lineas.prompts.banks import INTENTS, SWAP, PromptSets

RECIPE = Recipe("one", arguments={"height": 16, "width": 16})
SETS = PromptSets(
    tuple(pipelines.SOURCE),
    tuple(pipelines.TARGET),
    (),
    "a trial",
    held_out=(("a road at night", "a dog at night"), ("a road", "a dog"), (), ()),
)


@pytest.mark.parametrize("intent", INTENTS)
@pytest.mark.parametrize("model", [pipelines.sd1, pipelines.sdxl, transformers.z_image])
@pytest.mark.filterwarnings("ignore:On prompts that it was not fitted to")
@pytest.mark.filterwarnings("ignore:A prompt of")
def test_a_plan_is_carried_out(model: Any, intent: str) -> None:
    pipe = model()
    before = pipelines.draw(pipe, **RECIPE.arguments)
    made = plan(pipe, intent, "a cat", "a dog" if intent == SWAP else None, steps=25)
    steering = carry_out(pipe, replace(made, sets=SETS), recipe=RECIPE)
    settings = steering.provenance.settings
    assert settings["cost"] < settings["cost_at_start"]
    assert {str(site).partition(".")[0] for site in steering.maps} <= {"text_encoder", "text_encoder_2"}
    with lineas.steer(pipe, steering):
        assert not torch.equal(pipelines.draw(pipe, **RECIPE.arguments), before)
    assert torch.equal(pipelines.draw(pipe, **RECIPE.arguments), before)


def test_the_words_are_enough_on_the_bundled_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lineas.prompts.banks.CALIBRATING", 2)
    monkeypatch.setattr("lineas.intents.plan.HELD_OUT", 2)
    pipe = lineas.load_pipeline("scenes")
    steering = lineas.add(pipe, "at night", count=2, steps=2)
    assert steering.provenance.notes.startswith("add at night")
    assert {map.kind for map in steering.maps.values()} == {"virtual"}
    with pytest.raises(PromptError, match="names none of its concepts"):
        lineas.remove(pipe, "a zeppelin")
    with pytest.raises(ConfigError, match="The plan is to remove, and add was called"):
        lineas.add(pipe, plan(pipe, "remove", "at night"))
    with pytest.raises(ConfigError, match="Unknown option stepps"):
        lineas.remove(pipe, "at night", stepps=2)


def test_language_models_learn_from_sentences() -> None:
    model, tokenizer = language.model("Llama"), language.tokenizer()
    lists = {"examples": language.SOURCE, "others": language.TARGET, "preserve": language.PRESERVE}
    for intent, call in (("remove", lineas.remove), ("add", lineas.add)):
        steering = call((model, tokenizer), "rudeness", steps=2, **lists)
        assert steering.provenance.notes == f"{intent} rudeness"
    with pytest.raises(PromptError, match="both lists are needed"):
        lineas.remove((model, tokenizer), "rudeness")
    with pytest.raises(ConfigError, match="lies behind the prompts of an image model"):
        lineas.add((model, tokenizer), "rudeness", map="virtual", **lists)
