"""The scripts behind the language tables, end to end on tiny random models."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("transformers")
pytest.importorskip("lm_eval")
pytest.importorskip("profanity_check")

from toys.language import model

from benchmarks.language import paper_rows
from benchmarks.language import tables as language_tables
from benchmarks.language.best import candidates, choose
from benchmarks.language.best_table import winners
from benchmarks.language.cells import Bench, Variant, shuffled
from benchmarks.language.variants import ablations, chosen_of, methods
from benchmarks.results import Results
from lineas.evaluation.language.perplexity import Perplexity
from lineas.evaluation.language.report import TextFigures, Toxicity
from lineas.intents.plan import plan_for
from lineas.methods.lineas.config import TrainConfig
from lineas.prompts.banks import REMOVE


def test_results_are_computed_once_and_survive_a_line_cut_off(tmp_path: Path) -> None:
    path, calls = tmp_path / "cells.jsonl", []
    results = Results(path)
    for _ in range(2):
        assert results.compute({"a": 1, "b": None}, lambda: calls.append(1) or 5) == 5
    results.compute({"a": 2}, lambda: 6)
    with path.open("a") as file:
        file.write('{"key": {"a": 3}, "val')
    again = Results(path)
    assert again.get({"b": None, "a": 1}) == 5 and {"a": 3} not in again
    again.compute({"a": 3}, lambda: 7)
    again.forget({"a": 3})
    again.compute({"a": 3}, lambda: 8)
    newest = Results(path)
    assert (newest.get({"a": 3}), newest.get({"a": 2}), calls) == (8, 6, [1])
    assert sorted(value for _, value in newest.find(a=1)) == [5]


def run(folder: Path, *words: str) -> str:
    common = ["--quick", "--seeds", "0", "--strengths", "1", "--threads", "1"]
    language_tables.main([*words, *common, "--output", str(folder), "--steerings", str(folder / "s")])
    return (folder / "language.md").read_text(encoding="utf-8")


def test_tables_are_filled_and_a_rerun_computes_nothing(tmp_path: Path, monkeypatch: Any) -> None:
    text = run(tmp_path, "A", "D", "--rows", "LinEAS")
    assert "Table A" in text and "| LinEAS, 1 |" in text and "| none |" in text
    assert "Table D" in text and "| sea and music, " in text and "| told of both |" in text
    lines = (tmp_path / "language.jsonl").read_text().splitlines()
    kinds = {json.loads(line)["key"]["kind"] for line in lines}
    assert kinds == {"machine", "row", "fit", "knowledge", "toxicity", "additions"} | {
        f"{what} of an addition" for what in ("fit", "strengths")
    }
    monkeypatch.setattr(Bench, "_fit", lambda *_: pytest.fail("fitted again"))
    monkeypatch.setattr(
        "benchmarks.language.cells.text_figures", lambda *_, **__: pytest.fail("measured again")
    )
    assert run(tmp_path, "A", "D", "--rows", "LinEAS") == text
    assert (tmp_path / "language.jsonl").read_text().splitlines() == lines


def test_a_run_that_is_out_of_time_goes_on_later(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr("benchmarks.language.cells.text_figures", fake_figures)
    assert "LinEAS" not in run(tmp_path, "A", "--seconds", "0")
    text = run(tmp_path, "A", "C")
    for label in ("LinEAS, no preserve texts, 1", "N = 2, 1", "γ = 0.1, 1", "1 steps, 1", "sites mlp, 1"):
        assert f"| {label} |" in text


def fake_figures(*_: Any, openings: Any = (), texts: Any = (), **__: Any) -> Any:
    from lineas.evaluation.language.perplexity import Perplexity
    from lineas.evaluation.language.report import TextFigures, Toxicity

    if openings:
        return TextFigures(Toxicity((1,) * len(openings), (2,) * len(openings)))
    return TextFigures(perplexity=Perplexity((3.0,) * len(texts), (2,) * len(texts)))


def test_what_equals_the_default_is_measured_once() -> None:
    default = next(each for each in methods() if each.label == "LinEAS").key()
    same = {each.label for each in ablations() if each.key() == default}
    assert same == {"N = 32", "γ = 0", "40 steps", "sites post_attention"}
    assert len({each.label for each in (*methods(), *ablations())}) == len(methods()) + len(ablations())


def test_what_is_called_the_intent_s_is_what_a_person_gets() -> None:
    plan = plan_for(REMOVE, "rudeness", is_text=True, examples=["rude"] * 4, others=["kind"] * 4)
    paper = paper_rows.variants(paper_rows.MODELS["qwen2.5-1.5b"], model("Llama"))
    (named,) = [each for each in paper if each.label == "LinEAS by intent"]
    for row in (candidates()["LinEAS, gated"][0], named):
        assert (row.sites, TrainConfig(**row.options)) == (plan.sites, plan.config) and row.preserve


def test_rows_are_chosen_by_label_or_by_method() -> None:
    def labels(*names: str) -> list[str]:
        return [each.label for each in chosen_of(methods(), list(names))]

    assert labels("LinEAS", "lofit") == ["LinEAS", "lofit"]  # not the other rows of these methods
    assert labels("lineas") == ["LinEAS, gated", "LinEAS", "LinEAS, no preserve texts"]
    assert chosen_of(methods(), None) == methods()
    with pytest.raises(SystemExit, match=r"No row linact, expected .*lin-act"):
        chosen_of(methods(), ["linact"])


def test_table_b_chooses_on_some_openings_and_reports_the_others(tmp_path: Path, monkeypatch: Any) -> None:
    words = ("B", "--rows", "caa", "told", "an example", "--fits", "2")
    text = run(tmp_path, *words)
    assert (
        "| prompting: told | The following text is polite" in text and "| prompting: an example |  |" in text
    )
    told = text.partition("tried on the openings that choose")[2]
    assert "| none | 0 |" in told and "| caa, at blocks | 0.75 |" in told
    (row,) = [line for line in text.splitlines() if line.startswith("| caa |")]
    assert "at " in row and "λ " in row and "; 2 fits |" in row and "points (" in row
    lines = (tmp_path / "language.jsonl").read_text().splitlines()
    cells = [json.loads(line) for line in lines]
    tuning, held_out = (
        {o for c in cells if c["key"].get("part") == part for o, _ in c["value"].get("examples", ())}
        for part in ("tuning", "held out")
    )
    assert tuning and held_out and not tuning & held_out
    (chosen,) = [c["value"] for c in cells if c["key"]["kind"] == "chosen"]
    tried = {(c["key"]["variant"] or {}).get("sites") for c in cells if c["key"]["kind"] == "knowledge"}
    assert {"blocks", "attention"} <= tried and chosen["variant"]["sites"] in ("blocks", "attention")
    asked = {c["key"]["part"] for c in cells if c["value"].get("accuracy")}
    assert asked == {"held out"}
    monkeypatch.setattr(Bench, "_fit", lambda *_: pytest.fail("fitted again"))
    assert run(tmp_path, *words) == text
    assert (tmp_path / "language.jsonl").read_text().splitlines() == lines
    more = run(tmp_path, *words, "--also", "0.25")
    assert "The same rows at other strengths:" in more and more.count("λ 0.25; 2 fits") == 1


def test_nothing_is_written_where_perplexity_rises_too_far(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr("benchmarks.language.best.MAY_RISE", -1.0)
    assert "| caa |" in run(tmp_path, "B", "--rows", "caa", "--fits", "1")
    cells = [json.loads(line)["key"] for line in (tmp_path / "language.jsonl").read_text().splitlines()]
    written = [(c["part"], c["variant"] is None) for c in cells if c["kind"] == "written"]
    assert sorted(written) == [("held out", False), ("held out", True), ("tuning", True)]


def figures(rude: float, perplexity: float, written: float = 5.0) -> TextFigures:
    hits = (round(100 * rude),)
    of_others, of_written = (Perplexity((math.log(value),), (1,)) for value in (perplexity, written))
    return TextFigures(Toxicity(hits, (100,)), of_others, fluency=of_written)


def test_the_setting_with_fewest_rude_texts_that_keeps_both_perplexities_is_chosen() -> None:
    variants = [Variant(name, name) for name in ("a", "b", "c", "d")]
    tried = [figures(0.2, 10.5), figures(0.1, 10.9), figures(0.0, 12), figures(0.0, 10.1, written=20)]
    base = figures(0.3, 10)
    found = [(each, variant, 1.0) for each, variant in zip(tried, variants, strict=True)]
    assert choose(base, found) == (variants[1], 1.0)
    assert choose(base, found[2:]) == (variants[2], 1.0)
    assert choose(base, []) is None
    orders = [shuffled("abcdef", n) for n in range(3)]
    assert orders[0] == list("abcdef") and orders[1] != orders[2] and sorted(orders[1]) == orders[0]


def test_who_wins_is_said_for_each_limit_of_the_perplexity() -> None:
    base = figures(0.3, 10)
    rows = {"a": [figures(0.2, 10.5), figures(0.1, 10.5)], "b": [figures(0.0, 10.1, written=6.5)]}
    rows["idle"] = [figures(0.3, 10)]
    assert winners(rows, base).splitlines() == [
        "- Both perplexities up by 2% at most: no row removes anything.",
        "- Both perplexities up by 10% at most: a has the fewest, 15.0% at +5.0%.",
        "- Both perplexities whatever they are: b has the fewest, 0.0% at +30.0%.",
    ]


def test_one_sentence_is_refused_and_the_page_says_why(tmp_path: Path) -> None:
    text = run(tmp_path, "C", "--rows", "N = 1")
    assert (
        "| lineas, preserve, count 1, steps 2 | – | – | There are 1 source prompts, expected at least 2"
        in text
    )
    assert "a distribution cannot be read off fewer" in text


def test_the_paper_s_scale_of_the_penalty_is_that_of_a_mean_over_units() -> None:
    made = model("Llama")
    (plain, sparse) = [each for each in ablations(model=made) if "paper's scale" in each.label]
    units = made.config.num_hidden_layers * made.config.hidden_size
    assert plain.options["learning_rate"] == pytest.approx(0.1 / units) and "sparsity" not in plain.options
    assert sparse.options["sparsity"] == pytest.approx(0.1 * units)
    # What a step shrinks away, rate times γ, is the same as in a mean with a rate of 0.1 and γ = 0.1.
    assert sparse.options["sparsity"] * sparse.options["learning_rate"] == pytest.approx(0.01)
