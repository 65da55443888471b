"""What a text means to the bundled model, by name or in ordinary words."""

from __future__ import annotations

import pytest

from lineas.errors import PromptError
from lineas.prompts.concepts import KINDS
from lineas.scenes.naming import named_concept


@pytest.mark.parametrize("text", ["time:night", "night", "at night", " time : night "])
@pytest.mark.parametrize("kind", [None, "time", *KINDS])
def test_a_concept_by_name_or_in_words_whatever_kind_captions_would_take(text: str, kind: str | None) -> None:
    assert named_concept(text, kind) == ("time", "night")


def test_the_kind_decides_between_several() -> None:
    assert named_concept("a clock") == ("object", "clock")
    assert named_concept("pink") == ("colour", "pink")
    assert named_concept("pink elephant", "colour") == ("colour", "pink")
    assert named_concept("pink elephant", "object") == ("object", "elephant")
    for kind in (None, "attribute", "time"):
        with pytest.raises(PromptError, match="several of its concepts"):
            named_concept("pink elephant", kind)


def test_what_the_model_does_not_know_is_told_with_what_it_does() -> None:
    with pytest.raises(PromptError, match=r"none of its concepts.*time: night, sunset"):
        named_concept("a unicorn")
