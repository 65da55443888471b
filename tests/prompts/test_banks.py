"""Prompt sets of a concept from either bank, as every face takes them."""

from __future__ import annotations

import pytest

from lineas.errors import ConfigError, PromptError
from lineas.prompts.banks import BANKS, EVERYDAY, SCENES, PromptSets, prompt_sets
from lineas.prompts.concepts import concept_prompts
from lineas.scenes.concepts import concept_sets


def test_each_bank_gives_its_own_sets() -> None:
    everyday, sets = (
        prompt_sets("fog", "attribute", count=4, seed=2),
        concept_prompts("fog", "attribute", 4, 2),
    )
    assert (everyday.source, everyday.target, everyday.preserve) == (sets.source, sets.target, sets.preserve)
    scenes, own = prompt_sets("in the fog", bank=SCENES, count=4), concept_sets("weather", "fog", count=4)
    assert (scenes.source, scenes.target, scenes.preserve) == (own.source, own.target, own.preserve)
    assert prompt_sets("ball", count=4).source == concept_prompts("ball", "object", 4).source


@pytest.mark.parametrize("bank", BANKS)
def test_adding_is_removing_the_other_way_round_with_nothing_held_back(bank: str) -> None:
    removed, added = (prompt_sets("fog", "attribute", add=add, bank=bank, count=4) for add in (False, True))
    assert (removed.source, removed.target) == (added.target, added.source)
    assert removed.preserve and not added.preserve
    assert (removed.label, added.file_name) == ("remove fog", "add-fog")


def test_names_of_files() -> None:
    assert prompt_sets("  pink   elephant ", count=2).file_name == "remove-pink-elephant"
    assert PromptSets(("a",), ("b",), ()).file_name == "steering"


REFUSED = {
    "bank": ({"bank": "films"}, ConfigError, "everyday captions, scenes model"),
    "template of scenes": ({"bank": SCENES, "template": "in {}"}, ConfigError, "takes no template"),
    "kind of scenes": ({"bank": SCENES, "kind": "smell"}, PromptError, "attribute, perspective, colour"),
    "kind of captions": ({"kind": "time"}, PromptError, "one of: object"),
    "one of scenes": ({"bank": SCENES, "count": 1}, PromptError, "at least 2"),
    "one caption": ({"count": 1}, PromptError, "at least 2"),
}


@pytest.mark.parametrize(("options", "error", "says"), REFUSED.values(), ids=list(REFUSED))
def test_what_a_bank_cannot_serve_is_refused(options: dict, error: type, says: str) -> None:
    with pytest.raises(error, match=says):
        prompt_sets("night", **{"bank": EVERYDAY, **options})


@pytest.mark.parametrize("bank", BANKS)
def test_an_empty_concept_is_refused(bank: str) -> None:
    with pytest.raises(PromptError, match="concept is empty"):
        prompt_sets(" ", bank=bank)
