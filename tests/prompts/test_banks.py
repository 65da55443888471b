"""Prompt sets of a concept from either bank, as every face takes them."""

from __future__ import annotations

import pytest

from lineas.errors import ConfigError, PromptError
from lineas.prompts.banks import ADD, BANKS, EVERYDAY, REMOVE, SCENES, SWAP, PromptSets, prompt_sets
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
    removed, added = (prompt_sets("fog", "attribute", intent=i, bank=bank, count=4) for i in (REMOVE, ADD))
    assert all("fog" in text for text in (*removed.source, *added.target))
    assert not any("fog" in text for text in (*removed.target, *added.source))
    assert removed.preserve and not added.preserve
    assert (removed.label, added.file_name) == ("remove fog", "add-fog")


@pytest.mark.parametrize("bank", BANKS)
def test_what_is_added_stands_behind_all_else(bank: str) -> None:
    sets = prompt_sets("clock", intent=ADD, bank=bank, count=12)
    for without, with_it in zip(sets.source, sets.target, strict=True):
        start = next(
            (i for i, (a, b) in enumerate(zip(without, with_it, strict=False)) if a != b), len(without)
        )
        assert "clock" in with_it[start:] and with_it.startswith(without[:start]) and start


@pytest.mark.parametrize(("bank", "one", "other"), [(EVERYDAY, "a cat", "a dog"), (SCENES, "cat", "horse")])
def test_a_swap_exchanges_one_for_the_other_and_nothing_else(bank: str, one: str, other: str) -> None:
    sets = prompt_sets(one, intent=SWAP, to=other, bank=bank, count=8, held_out=4)
    plain_one, plain_other = one.split()[-1], other.split()[-1]
    for source, target in zip(sets.source, sets.target, strict=True):
        assert source.replace(plain_one, plain_other) == target != source
    assert not any(plain_one in text or plain_other in text for text in sets.preserve)
    assert len(sets.held_out[0]) == len(sets.held_out[2]) == 4
    assert not {*sets.held_out[0], *sets.held_out[2]} & {*sets.source, *sets.preserve}


def test_names_of_files() -> None:
    assert prompt_sets("  pink   elephant ", count=2).file_name == "remove-pink-elephant"
    assert PromptSets(("a",), ("b",), ()).file_name == "steering"


REFUSED = {
    "intent": ({"intent": "hide"}, ConfigError, "remove, add, swap"),
    "swap without another": ({"intent": SWAP}, PromptError, "takes two concepts"),
    "removal with another": ({"to": "fog"}, PromptError, "takes two concepts"),
    "swap for itself": ({"intent": SWAP, "to": "night"}, PromptError, "Name two concepts"),
    "bank": ({"bank": "films"}, ConfigError, "everyday captions, scenes model"),
    "template of scenes": ({"bank": SCENES, "template": "in {}"}, ConfigError, "takes no template"),
    "kind of scenes": ({"bank": SCENES, "kind": "smell"}, PromptError, "place, perspective, colour"),
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
