"""docs/models.md is what its script makes of the tables and the tests."""

from __future__ import annotations

import pytest

from lineas.architectures.recipe_table import RECIPES
from lineas.scenes import BUNDLED
from tools import models_page
from tools.models_page import PAGE, page, shown
from tools.models_rows import ROWS, Row


def test_the_page_is_what_the_script_makes() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run python -m tools.models_page"


def test_every_model_that_a_test_shows_has_a_row() -> None:
    listed = {name for row in ROWS for name in row.pipelines or ()}
    assert shown("fit") - listed == set()
    in_comfyui = {name for row in ROWS for name in row.comfyui or ()}
    assert (shown("ComfyUI train") | shown("ComfyUI apply")) - in_comfyui == set()


def test_a_model_that_is_not_fitted_says_why() -> None:
    told = page().partition("and why:")[2].partition("## Sites")[0]
    assert "- GLM-Image: a language model draws the first sketch" in told
    assert "- DreamLite: takes one prompt at a time." in told and told.count("- ") == 2


def test_language_classes_are_those_of_their_test() -> None:
    listed = page().partition("## Language models")[2]
    assert all(f" {name}" in listed for name in ("Llama", "Qwen3Next,", "OPT,", "Mamba2,", "DeepseekV3,"))


def test_every_recipe_has_a_row() -> None:
    assert set(RECIPES) - {name for row in ROWS for name in row.recipes} == {*BUNDLED}


def test_a_cell_is_empty_where_one_of_its_classes_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = (
        Row("known", ("FluxPipeline",), ("flux",)),
        Row("half", ("FluxPipeline", "NoPipeline"), ("none",)),
        Row("nowhere", None, None),
    )
    monkeypatch.setattr(models_page, "ROWS", rows)
    lines = page().splitlines()
    known, half, nowhere = (
        next(line for line in lines if line.startswith(f"| {row.model} |")) for row in rows
    )
    assert known.split("|")[3:8] == [" Y "] * 5
    assert half.split("|")[3:8] == [" – "] * 5
    assert nowhere.split("|")[3:8] == [" no class "] * 5


def test_a_test_that_is_gone_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    gone = {"fit": (("adapters/images/test_every_pipeline.py", "test_of_old", ()),)}
    monkeypatch.setattr(models_page, "SHOWN", gone)
    with pytest.raises(LookupError, match="no test test_of_old"):
        shown("fit")
    monkeypatch.setattr(models_page, "ROWS", (Row("odd", ("FluxPipeline",), (), ("no-such:4",)),))
    monkeypatch.setattr(models_page, "SHOWN", {})
    with pytest.raises(LookupError, match="no-such"):
        page()
