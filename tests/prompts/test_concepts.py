from __future__ import annotations

import dataclasses
from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lineas.errors import PromptError
from lineas.prompts.concepts import KINDS, THINGS, concept_prompts
from lineas.prompts.files import neutral_captions
from lineas.prompts.words import fill, mentions, with_article

CONCEPTS = ["pink elephant", "hourglass", "robots", "ukiyo-e", "at night", "fisheye", "книга"]


@given(st.sampled_from(CONCEPTS), st.sampled_from(KINDS), st.integers(2, 60), st.integers(0, 2**32))
def test_sets_have_the_asked_size_and_are_disjoint(concept: str, kind: str, count: int, seed: int) -> None:
    sets = concept_prompts(concept, kind, count, seed)
    assert len(sets.source) == len(sets.target) == len(sets.preserve) == count
    assert all(concept in prompt for prompt in sets.source)
    assert not any(mentions(prompt, concept) for prompt in sets.target + sets.preserve)
    assert len({*sets.source, *sets.target, *sets.preserve}) == 3 * count
    assert set(sets.preserve) <= set(neutral_captions())
    assert not any("{" in prompt for prompt in sets.source + sets.target)


def test_the_seed_decides_and_nothing_else() -> None:
    assert concept_prompts("clock") == concept_prompts("clock")
    assert concept_prompts("clock").hash == concept_prompts("clock").hash
    assert concept_prompts("clock", seed=1).source != concept_prompts("clock").source
    assert concept_prompts("clock").preserve == concept_prompts("axolotl").preserve


def test_an_object_is_replaced_by_another_thing() -> None:
    sets = concept_prompts("clock", count=24)
    assert all(any(thing in prompt for thing in THINGS) for prompt in sets.target)
    assert not any("lantern" in prompt for prompt in concept_prompts("paper lantern", count=64).target)


@pytest.mark.parametrize("kind", ["style", "attribute", "perspective"])
def test_other_kinds_are_taken_away_and_not_replaced(kind: str) -> None:
    sets = concept_prompts("neon", kind)
    for source, target in zip(sets.source, sets.target, strict=True):
        assert set(target.replace(",", "").split()) < set(source.replace(",", "").split())


def test_own_captions_template_and_things() -> None:
    base = [f"a {colour} house" for colour in ("red", "blue", "green", "white")]
    sets = concept_prompts(
        "clock", count=2, base=base, template="{caption} beside a {}", others=["axe", "tree"]
    )
    assert all(prompt.endswith("house beside a clock") for prompt in sets.source)
    assert {prompt.split(" beside ")[1] for prompt in sets.target} == {"an axe", "a tree"}
    assert {*sets.preserve} < {*base}
    night = concept_prompts("at night", "attribute", count=2, base=base, template="{caption} {}")
    assert all(prompt.endswith("house at night") for prompt in night.source)
    assert {*night.target} | {*night.preserve} == {*base}
    after_a_comma = concept_prompts("moss", "attribute", count=2, base=base, template="covered in {}")
    assert all(prompt.endswith("house, covered in moss") for prompt in after_a_comma.source)


@pytest.mark.parametrize(
    ("arguments", "remedy"),
    [
        ({"concept": "  "}, "Name what"),
        ({"concept": "clock", "kind": "mood"}, "one of: object"),
        ({"concept": "clock", "count": 1}, "at least 2"),
        ({"concept": "clock", "template": "with it"}, "has no"),
        ({"concept": "clock", "count": 500}, "Ask for at most"),
        ({"concept": "clock", "base": ["one", "two", "one"], "count": 2}, "pass more captions"),
        ({"concept": "clock", "others": ["old clock"]}, "pass `others`"),
    ],
)
def test_errors_say_what_to_do(arguments: dict, remedy: str) -> None:
    with pytest.raises(PromptError, match=remedy):
        concept_prompts(**arguments)


def test_the_result_is_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        concept_prompts("clock").source = ()  # type: ignore[misc]


def test_the_bank_is_large_varied_and_clean() -> None:
    bank = neutral_captions()
    assert len(bank) == len(set(bank)) >= 200
    assert all(caption == caption.strip().lower() and 3 <= len(caption.split()) <= 12 for caption in bank)
    assert len({" ".join(islice(caption.split(), 3)) for caption in bank}) > 150


@pytest.mark.parametrize(
    ("noun", "expected"),
    [
        ("pink elephant", "a pink elephant"),
        ("hourglass", "an hourglass"),
        ("unicorn", "a unicorn"),
        ("union flag", "a union flag"),
        ("umbrella", "an umbrella"),
        ("robots", "robots"),
        ("stack of books", "a stack of books"),
        ("octopus", "an octopus"),
        ("the moon", "the moon"),
        ("3 cats", "3 cats"),
        ("fresh snow", "fresh snow"),
        ("fisheye lens", "a fisheye lens"),
    ],
)
def test_articles(noun: str, expected: str) -> None:
    assert with_article(noun) == expected


def test_braces_in_the_concept_are_text() -> None:
    assert fill("{caption} and {}", "{caption}", "x {} y") == "x {} y and {caption}"
