"""Prompt lists and what training is asked for; needs no ComfyUI."""

from __future__ import annotations

import pytest

from comfyui_lineas.concept import BANKS, concept_texts, prompt_lines
from comfyui_lineas.train.request import SITES, TrainRequest
from lineas.errors import ConfigError, PromptError


def test_a_concept_becomes_three_lists_and_a_file_name() -> None:
    texts = concept_texts("ukiyo-e", "style", "remove", "everyday captions", 8, 0)
    source, target, preserve = (prompt_lines("any", t) for t in (texts.source, texts.target, texts.preserve))
    assert len(source) == len(target) == len(preserve) == 8
    assert all("ukiyo-e" in prompt for prompt in source)
    assert not any("ukiyo-e" in prompt for prompt in [*target, *preserve])
    assert texts.name == "remove-ukiyo-e"


def test_adding_is_removing_the_other_way_round_with_nothing_held_back() -> None:
    remove, add = (concept_texts("fog", "attribute", way, BANKS[0], 4, 0) for way in ("remove", "add"))
    assert remove.target == add.source
    assert all(line.endswith(", fog") for line in add.target.splitlines())  # behind the prompt's own words
    assert remove.preserve and add.preserve == ""


def test_the_scenes_bank_knows_its_own_words() -> None:
    texts = concept_texts("at night", "attribute", "remove", "scenes model", 4, 0)
    assert texts.source == concept_texts("time:night", "style", "remove", "scenes model", 4, 0).source
    with pytest.raises(PromptError, match="none of its concepts"):
        concept_texts("ukiyo-e", "style", "remove", "scenes model", 4, 0)
    with pytest.raises(ConfigError, match="no template"):
        concept_texts("night", "attribute", "remove", "scenes model", 4, 0, "in the {}")


def test_own_words_surround_the_concept() -> None:
    texts = concept_texts("moss", "attribute", "remove", BANKS[0], 4, 0, "covered in {}")
    assert all("covered in moss" in prompt for prompt in texts.source.splitlines())


@pytest.mark.parametrize("text", ["", "\n \n", "# a comment\none prompt"])
def test_short_lists_are_refused(text: str) -> None:
    with pytest.raises(PromptError, match="expected at least 2, one per line"):
        prompt_lines("source", text)


def test_zeros_are_left_to_the_preset() -> None:
    request = TrainRequest("a\nb", "c\nd")
    assert (request.config().steps, request.config().learning_rate) == (100, 0.05)
    paper = TrainRequest("a\nb", "c\nd", preset="paper", steps=7, sparsity=0.1, low_memory=True).config()
    assert (paper.steps, paper.learning_rate, paper.sparsity, paper.checkpointing) == (7, 0.1, 0.1, True)


def test_patterns_of_sites() -> None:
    assert TrainRequest("", "", sites="resnet norms").patterns() == ["unet.*resnets.*norm*"]
    own = TrainRequest("", "", sites="own pattern", pattern="unet.*attn2*,\nunet.conv_out")
    assert own.patterns() == ["unet.*attn2*", "unet.conv_out"]
    assert set(SITES) == {
        *("all norms", "attention norms", "resnet norms", "text encoder norms"),
        *("all and text encoder norms", "text encoder, end to end", "own pattern"),
    }
