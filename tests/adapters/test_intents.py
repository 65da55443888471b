"""Intents are carried out on pipelines of many kinds and on language models, and leave the model alone."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import Any

import pytest
import torch
from toys import language, pipelines, transformers
from toys.every_pipeline import COVERED, pipeline

import lineas
from lineas.adapters.intents import carry_out, judge_of, plan
from lineas.architectures.recipe import Recipe
from lineas.errors import ConfigError, LineasError, PromptError
from lineas.prompts.banks import ADD, INTENTS, REMOVE, SWAP, PromptSets
from lineas.scenes.bundled import CLIP

RECIPE = Recipe("one", arguments={"height": 16, "width": 16})
SETS = PromptSets(
    tuple(pipelines.SOURCE),
    tuple(pipelines.TARGET),
    (),
    "a trial",
    held_out=(("a road at night", "a dog at night"), ("a road", "a dog"), (), ("a road", "a dog")),
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


@pytest.mark.parametrize(
    ("name", "alone"),
    [
        ("KolorsPipeline", (ADD,)),  # [s, b, d], where virtual tokens have no place
        ("HunyuanImagePipeline", ()),  # one of its text encoders reads nothing here
        ("BriaPipeline", (REMOVE, ADD)),  # encodes one prompt after the other
        ("OmniGenPipeline", (REMOVE, ADD)),  # has no text encoder
    ],
)
def test_where_no_text_encoder_can_be_steered_the_image_model_is(name: str, alone: tuple[str, ...]) -> None:
    pipe, known = pipeline(name), COVERED[name]
    recipe = Recipe("two", steps=2, guidance=known.guidance, arguments=known.arguments)
    for intent in (REMOVE, ADD):
        made = replace(plan(pipe, intent, "a cat", steps=2, learning_rate=0.01), sets=SETS)
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            steering = carry_out(pipe, made, recipe=recipe)
        said = [str(each.message) for each in told if "image model alone is steered" in str(each.message)]
        assert len(said) == (intent in alone)
        assert steering.provenance.settings["learning_rate"] == 0.01
        in_text = {site.name.startswith("text_encoder") for site in steering.maps}
        assert in_text == {intent not in alone}


def test_a_pipeline_that_does_not_run_at_all_says_so_as_it_is() -> None:
    broken = replace(RECIPE, arguments={"height": 16, "widht": 16})
    pipe = pipelines.sd1()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(LineasError, match="widht"):
            carry_out(pipe, replace(plan(pipe, REMOVE, "a cat"), sets=SETS), recipe=broken)


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


class Changed:
    """A judge that takes every image for what is wanted but those that it saw first."""

    name = "a judge"

    def __init__(self) -> None:
        self.first: list[bytes] = []

    def image_text(self, images: Any, texts: Any) -> torch.Tensor:
        shown = [image.tobytes() for image in images]
        self.first = self.first or shown
        wanted = "night" not in texts[0]
        pairs = zip(shown, self.first, strict=True)
        return torch.tensor([float(wanted and now != before) for now, before in pairs])

    def image_image(self, images: Any, reference: Any) -> torch.Tensor:
        pairs = zip(images, reference, strict=True)
        return torch.tensor([float(one.tobytes() == other.tobytes()) for one, other in pairs])


@pytest.mark.filterwarnings("ignore:A prompt of")
def test_a_judge_calibrates_by_what_is_drawn() -> None:
    pipe = pipelines.sd1()
    before = pipelines.draw(pipe, **RECIPE.arguments)
    made = replace(plan(pipe, "remove", "a cat", steps=25), sets=SETS)
    settings = carry_out(pipe, made, recipe=RECIPE, clip=Changed()).provenance.settings
    assert settings["calibrated_by"] == "a judge" and 0 < settings["usable_from"] <= settings["usable_to"]
    assert torch.equal(pipelines.draw(pipe, **RECIPE.arguments), before)


def test_a_clip_model_is_named_for_images_of_held_out_prompts() -> None:
    pytest.importorskip("open_clip")
    pipe, judged = pipelines.sd1(), SETS.for_judging
    loaded = judge_of(pipe, judged, CLIP)
    assert loaded.name == "clip" and judge_of(pipe, judged, loaded) is loaded
    for obj, prompts in ((pipe, None), ((language.model("Llama"), language.tokenizer()), judged)):
        with pytest.raises(ConfigError, match="Leave clip out for lists of your own, and for texts"):
            judge_of(obj, prompts, CLIP)


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
