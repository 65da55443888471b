"""One call for every model: what `fit` hands on, and what it refuses."""

from __future__ import annotations

import inspect

import pytest
from toys import language, pipelines

from lineas import fit
from lineas.adapters.problems import problem_for
from lineas.errors import ConfigError, PromptError


def test_texts_are_cut_at_max_length() -> None:
    model, tokenizer = language.model("Llama"), language.tokenizer()
    whole = problem_for(model, language.SOURCE, language.TARGET, tokenizer=tokenizer)
    assert max(whole.lengths("source")) == 8
    with pytest.warns(UserWarning, match="more than 3 tokens and are cut"):
        cut = problem_for(model, language.SOURCE, language.TARGET, tokenizer=tokenizer, max_length=3)
    assert max(cut.lengths("source")) == 3
    with pytest.raises(PromptError, match="max_length is 0"):
        fit(model, language.SOURCE, language.TARGET, tokenizer=tokenizer, max_length=0)


def test_max_length_is_a_parameter_and_not_for_images() -> None:
    assert inspect.signature(fit).parameters["max_length"].default is None
    with pytest.raises(ConfigError, match="max_length is 9, which is for language models"):
        fit(pipelines.sd1(), pipelines.SOURCE, pipelines.TARGET, max_length=9)


def test_a_recipe_is_not_for_texts() -> None:
    with pytest.raises(ConfigError, match="for image pipelines"):
        fit(
            language.model("Llama"),
            language.SOURCE,
            language.TARGET,
            tokenizer=language.tokenizer(),
            recipe="dmd2",
        )
