"""Scenes in words: every scene can be said, read back and told apart."""

from __future__ import annotations

import numpy as np
import pytest

from lineas.errors import PromptError
from lineas.scenes.bundled import warn_of_unknown_words
from lineas.scenes.concepts import concept_sets
from lineas.scenes.detector import MANY, ONE
from lineas.scenes.grammar import (
    Scene,
    parse,
    prompt,
    random_scene,
    unknown_words,
    vocabulary,
    with_concept,
    without_concept,
    words,
)

CONCEPTS = [(kind, name) for kind, names in (MANY | ONE).items() for name in names]


def test_every_wording_is_read_back_as_the_scene():
    rng = np.random.default_rng(0)
    for _ in range(500):
        scene = random_scene(rng)
        assert parse(prompt(scene, rng)) == scene
        assert parse(prompt(scene)) == scene


def test_the_vocabulary_holds_every_word_of_every_prompt():
    rng = np.random.default_rng(1)
    said = {word for _ in range(2000) for word in words(prompt(random_scene(rng), rng))}
    assert said <= set(vocabulary())


def test_parts_are_optional_down_to_nothing():
    assert prompt(Scene()) == "an empty scene"
    assert parse("an empty scene") == Scene()


@pytest.mark.parametrize(("kind", "name"), CONCEPTS)
def test_a_concept_is_put_in_and_taken_out(kind, name):
    rng = np.random.default_rng(2)
    for _ in range(20):
        scene = random_scene(rng)
        put = with_concept(scene, kind, name, rng)
        assert (kind, name) in put.concepts()
        assert (kind, name) not in without_concept(put, kind, name, rng).concepts()


@pytest.mark.parametrize(("kind", "name"), [("time", "night"), ("object", "clock"), ("colour", "pink")])
def test_concept_sets_are_disjoint_and_say_what_they_should(kind, name):
    sets = concept_sets(kind, name, count=16, held_out=16)
    everything = [*sets.source, *sets.target, *sets.preserve, *sets.held_out_with, *sets.held_out_without]
    assert len(set(everything)) == 5 * 16
    for text in (*sets.source, *sets.held_out_with):
        assert (kind, name) in parse(text).visible()
    for text in (*sets.target, *sets.preserve, *sets.held_out_without):
        assert (kind, name) not in parse(text).concepts()
    assert sets == concept_sets(kind, name, count=16, held_out=16)
    assert sets != concept_sets(kind, name, count=16, held_out=16, seed=1)


def test_an_unknown_concept_is_refused_with_what_is_known():
    with pytest.raises(PromptError, match="time:night"):
        concept_sets("time", "noon")


def test_unknown_words_are_named_in_a_warning_that_lists_the_known_ones():
    assert unknown_words("a zebra near an elephant, zebra") == ["zebra", "near"]
    with pytest.warns(UserWarning, match=r"zebra.*It knows: .*elephant"):
        assert warn_of_unknown_words(["a zebra"]) == ["zebra"]
    assert warn_of_unknown_words(["a pink elephant in the forest at night"]) == []
