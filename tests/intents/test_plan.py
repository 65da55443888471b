"""A plan is made from words, says why, and takes every change that the options take."""

from __future__ import annotations

from typing import Any

import pytest

from lineas.errors import ConfigError, PromptError
from lineas.intents.plan import plan_for
from lineas.prompts.banks import ADD, INTENTS, REMOVE, SCENES, SWAP
from lineas.prompts.concepts import KINDS
from lineas.prompts.kinds import guessed_kind

GUESSED = {
    "pink elephant": "object",
    "a cat": "object",
    "watercolour": "style",
    "ukiyo-e": "style",
    "in the style of a comic": "style",
    "impressionism": "style",
    "at night": "attribute",
    "in the rain": "attribute",
    "red": "attribute",
    "in the forest": "place",
    "on a beach": "place",
    "underwater": "place",
    "fisheye": "perspective",
    "seen from above": "perspective",
    "wide-angle shot": "perspective",
}


@pytest.mark.parametrize(("concept", "kind"), GUESSED.items())
def test_the_kind_is_guessed_from_the_words(concept: str, kind: str) -> None:
    guessed = guessed_kind(concept)
    assert guessed.name == kind and kind in KINDS
    assert guessed.why in plan_for(REMOVE, concept).text()


@pytest.mark.parametrize("intent", INTENTS)
@pytest.mark.parametrize("words", [("a cat", "a dog", {}), ("cat", "horse", {"bank": SCENES})])
def test_a_plan_can_be_printed_and_carried_out(intent: str, words: tuple) -> None:
    concept, other, options = words
    plan = plan_for(intent, concept, other if intent == SWAP else None, **options)
    text = plan.text()
    assert plan.sets.label in text and plan.sets.source[0] in text and "norms+text" in text
    assert len(plan.sets.source) == len(plan.sets.target) == 32
    assert plan.sets.for_calibrating is not None and len(plan.sets.for_calibrating[0]) == 16
    assert plan.sets.for_reporting is not None and len(plan.sets.for_reporting[0]) == 32
    assert plan.config.map == ("virtual" if intent == ADD else "gated")


def test_every_part_can_be_replaced() -> None:
    plan = plan_for(ADD, "sepia", kind="object", count=4, seed=3)
    assert "object, as you said" in plan.text() and plan.config.seed == 3
    changed = plan.with_settings(steps=7, map="affine", sites="norms", rows=None)
    assert (changed.config.steps, changed.config.map, changed.sites) == (7, "affine", "norms")
    assert changed.config.rows == plan.config.rows
    with pytest.raises(ConfigError, match=r"Unknown option stepps.*steps"):
        plan.with_settings(stepps=7)


def test_texts_are_planned_from_examples() -> None:
    lists = {"examples": ["rude"] * 4, "others": ["kind"] * 4}
    removed = plan_for(REMOVE, "rudeness", is_text=True, **lists)
    assert removed.sets.source == ("rude",) * 4 and removed.sets.target == ("kind",) * 4
    assert (removed.sites, removed.config.map, removed.config.steps) == ("attention", "gated", 40)
    assert removed.sets.preserve and removed.sets.for_calibrating is None
    with pytest.raises(PromptError, match="both lists are needed"):
        plan_for(REMOVE, "rudeness", is_text=True)
    with pytest.raises(ConfigError, match="Unknown intent 'hide'"):
        plan_for("hide", "rudeness", **lists)


@pytest.mark.parametrize("intent", [REMOVE, ADD])
@pytest.mark.parametrize("option", [{"kind": "style"}, {"count": 8}, {"template": "about {}"}])
def test_what_own_lists_leave_unread_is_refused(intent: str, option: dict[str, Any]) -> None:
    lists = {"examples": ["rude", "ruder"], "others": ["kind", "kinder"]}
    with pytest.raises(ConfigError, match=f"{next(iter(option))}=.* lists are your own"):
        plan_for(intent, "rudeness", **lists, **option)
    if intent == REMOVE or "template" not in option:
        with pytest.raises(ConfigError, match="lists are your own"):
            plan_for(intent, "rudeness", is_text=True, **lists, **option)


def test_adding_to_texts_compares_each_with_itself_after_three_examples() -> None:
    others = tuple(f"plain {number}." for number in range(6))
    lists = {"examples": ("the sea.", "a boat.", "a wave.", "a tide."), "others": others}
    plan = plan_for(ADD, "the sea", is_text=True, **lists)
    assert plan.sets.source == plan.sets.target == others
    before, after, kept = plan.sets.contexts
    for text, plain, about in zip(others, before, after, strict=True):
        read = [f"{each}." for each in plain.removesuffix(".").split(". ")]
        assert len(read) == len(set(read)) == 3 and set(read) <= set(others) - {text}
        read = [f"{each}." for each in about.removesuffix(".").split(". ")]
        assert len(read) == len(set(read)) == 3 and set(read) <= set(lists["examples"])
    assert len(kept) == len(plan.sets.preserve) and kept[1] == plan.sets.preserve[0] and kept[2] == ""
    assert f"    after       {after[0]}; …" in plan.text().splitlines()
    assert (plan.config.map, plan.config.coupling, plan.sites) == ("first_token", "pair", "norms")
    assert plan.sets.preserve, "texts that are to stay as they are are there by themselves"
    assert plan_for(ADD, "the sea", is_text=True, seed=1, **lists).sets.contexts != plan.sets.contexts
    told = plan_for(ADD, "the sea", is_text=True, template="A story about {}.", **lists)
    assert told.sets.contexts == (before, tuple(f"A story about the sea. {text}" for text in after), kept)
    with pytest.raises(PromptError, match="has no"):
        plan_for(ADD, "the sea", is_text=True, template="A story.", **lists)
    with pytest.raises(PromptError, match="Texts have no caption"):
        plan_for(ADD, "the sea", is_text=True, template="{caption}, by {}", **lists)
    few = plan_for(ADD, "the sea", is_text=True, examples=["the sea"], others=["plain", "more"])
    assert few.sets.contexts[:2] == (("more", "plain"), ("the sea", "the sea")), "as many as there are"
    with pytest.raises(PromptError, match="others=… holds one text"):
        plan_for(ADD, "the sea", is_text=True, examples=["the sea"], others=["plain"])


@pytest.mark.parametrize("is_text", [True, False])
@pytest.mark.parametrize("intent", [REMOVE, ADD])
def test_what_own_lists_hold_beyond_32_is_held_out(intent: str, is_text: bool) -> None:
    lists = {name: tuple(f"{name} {number}" for number in range(70)) for name in ("examples", "others")}
    plan = plan_for(intent, "it", is_text=is_text, **lists)
    first, second = lists.values() if intent == REMOVE else reversed(lists.values())
    sets = plan.sets
    assert (sets.source, len(sets.target)) == (first[:32], 32)
    assert sets.held_out[:2] == (first[32:], second[32:]) and "The last 38 of source" in plan.why[-1]
    calibrating = sets.for_calibrating
    assert calibrating is not None and calibrating[:2] == (first[32:48], second[32:48])
    if not is_text:
        assert sets.for_judging is None and sets.for_reporting is None
        return
    assert sets.for_judging is not None and sets.for_reporting is not None
    assert len(sets.for_judging[1]) == 16 and sets.for_reporting[0] == first[48:]
    own = {text for group in (sets.source, sets.target, sets.preserve, *sets.contexts) for text in group}
    assert not own & {*first[32:], *second[32:], *sets.held_out[2]}
    assert len(sets.held_out[2]) == 48
    for words in sets.held_out[3]:  # prompting, by texts that were learned from
        assert words.count(second[0].split()[0]) == 3
        assert not any(text in words.split(" e") for text in second[32:])


def test_of_long_lists_all_but_the_last_48_are_learned_from() -> None:
    lists = {"examples": [f"rude {n}" for n in range(200)], "others": [f"kind {n}" for n in range(40)]}
    sets = plan_for(REMOVE, "it", is_text=True, **lists).sets
    assert (sets.source[-1], sets.held_out[0][0], len(sets.held_out[0])) == ("rude 151", "rude 152", 48)
    assert (sets.target[-1], sets.held_out[1]) == ("kind 31", tuple(lists["others"][32:]))


def test_lists_of_32_and_one_are_learned_from_as_a_whole() -> None:
    lists = {name: tuple(f"{name} {number}" for number in range(33)) for name in ("examples", "others")}
    plan = plan_for(REMOVE, "it", is_text=True, **lists)
    assert len(plan.sets.source) == 33 and plan.sets.for_calibrating is None
    assert "Nothing is held out" in plan.why[-1]


def test_a_plan_for_the_image_model_alone_keeps_what_a_person_chose() -> None:
    made = plan_for(ADD, "a clock", seed=3).with_settings(learning_rate=0.02, steps=7)
    alone = made.without_text("No text encoder.")
    assert alone.sites is None and alone.why[-1] == "No text encoder." and alone.sets == made.sets
    assert alone.settings == {"seed": 3, "steps": 7, "learning_rate": 0.02}
    assert alone.config.map == "affine"
