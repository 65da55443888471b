"""The paper's language rows: on tiny models, and on local data sets with the fields of those on the hub."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

pytest.importorskip("transformers")
pytest.importorskip("datasets")

import datasets
import transformers

from benchmarks.language import paper_data, paper_rows, paper_truthful
from benchmarks.language.cells import Bench
from benchmarks.language.paper_report import page
from benchmarks.results import Results
from lineas.adapters.language.sites import language_sites
from lineas.errors import HubError
from lineas.evaluation.language.perplexity import Perplexity
from lineas.evaluation.language.report import TextFigures, Toxicity

JUDGED = dict.fromkeys(
    ("profanity", "sexually_explicit", "identity_attack", "flirtation", "threat", "insult",
     "severe_toxicity", "toxicity"), 0.1,
)  # fmt: skip
HUB = {
    "allenai/real-toxicity-prompts": [
        {
            "filename": f"{i}.txt", "begin": 0, "end": 9, "challenging": False,
            "prompt": {"text": f"rtp {i}", **JUDGED}, "continuation": {"text": " and so", **JUDGED},
        }
        for i in range(4)
    ],
    "convoicon/Thoroughly_Engineered_Toxicity": [
        {"conversation_id": f"c{i}", "metrics": {"toxicity": 0.9}, "query": f"tet {i}"} for i in range(3)
    ],
    "wikimedia/wikipedia": [
        {
            "id": "1", "url": "u", "title": "Rivers",
            "text": "A river is water that flows downhill. It is short. Most rivers end in a sea or lake."
            "\n\nThe longest of them crosses eleven countries on its way",
        }
    ],
    "truthfulqa/truthful_qa": [
        {
            "question": "Can pigs fly?",
            "mc1_targets": {"choices": ["No", "Yes"], "labels": [1, 0]},
            "mc2_targets": {"choices": ["No", "They cannot", "Yes"], "labels": [1, 1, 0]},
        }
    ],
}  # fmt: skip


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(name: str, configuration: str | None = None, *, split: str, streaming: bool = False) -> Any:
        assert (name == "wikimedia/wikipedia") == (configuration == "20231101.en") == streaming
        rows = datasets.Dataset.from_list(HUB[name])
        return rows.to_iterable_dataset() if streaming else rows

    monkeypatch.setattr(datasets, "load_dataset", load)


@pytest.mark.usefixtures("hub")
def test_the_hub_s_own_fields_are_read_and_each_set_is_a_column() -> None:
    corpus, openings = paper_data.hub_corpus(prompts=3, sentences=3)
    assert len(openings["RTP"]) == 3 and {*openings["RTP"]} < {f"rtp {i}" for i in range(4)}
    assert openings["TET"] == ("tet 0", "tet 1", "tet 2")
    assert corpus.text == (
        "A river is water that flows downhill.",
        "Most rivers end in a sea or lake.",
        "The longest of them crosses eleven countries on its way.",
    )
    assert corpus.questions == "mmlu" and corpus.openings == ()


def test_what_cannot_be_had_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(*_: Any, **__: Any) -> Any:
        raise ConnectionError("no route\nto host")

    monkeypatch.setattr(datasets, "load_dataset", load)
    with pytest.raises(HubError, match=r"real-toxicity-prompts cannot be loaded from the hub \(no route\)"):
        paper_data.hub_corpus(3, 3)


def test_questions_have_one_best_answer_and_several_right_ones() -> None:
    (question,) = paper_data.truthful_questions(HUB["truthfulqa/truthful_qa"])
    assert question.best == (("No", "Yes"), 0)
    assert question.all == (("No", True), ("They cannot", True), ("Yes", False))


@pytest.mark.parametrize(
    ("name", "config", "count", "numbers"),
    [
        ("qwen2.5-1.5b", transformers.Qwen2Config(
            hidden_size=1536, num_hidden_layers=28, num_attention_heads=12, num_key_value_heads=2,
            intermediate_size=8, vocab_size=8), 28, 86_016),
        ("gemma2-2b", transformers.Gemma2Config(
            hidden_size=2304, num_hidden_layers=26, num_attention_heads=8, num_key_value_heads=4,
            intermediate_size=8, vocab_size=8), 52, 239_616),
    ],
)  # fmt: skip
def test_sites_are_those_of_the_paper(name: str, config: Any, count: int, numbers: int) -> None:
    with torch.device("meta"):
        model = transformers.AutoModelForCausalLM.from_config(config)
    sites = language_sites({"": model}, paper_rows.MODELS[name].sites)
    assert len(sites) == count and 2 * count * config.hidden_size == numbers
    outputs = language_sites({"": model}, "attention")
    assert all(str(site).endswith("o_proj") for site in outputs)
    chosen = paper_rows.variants(paper_rows.MODELS[name], model)
    places = {each.label: each.sites for each in chosen}
    assert chosen[0].options["learning_rate"] == pytest.approx(2 * 0.1 / numbers)  # its loss is a mean
    assert places["ITI-c"] == places["Lin-AcT"] == "attention" and places["CAA"] == places["ReFT"] == "blocks"


def test_a_run_fills_its_rows_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("lm_eval")
    pytest.importorskip("profanity_check")
    words = ["gemma2-2b", "--quick", "--output", str(tmp_path), "--seeds", "0", "--rows", "Lin-AcT"]
    paper_rows.main(words)
    text = (tmp_path / "paper.md").read_text(encoding="utf-8")
    assert "| none |" in text and "| Lin-AcT |" in text and "(4.00)" in text
    lines = (tmp_path / "paper.jsonl").read_text(encoding="utf-8").splitlines()
    keys = [json.loads(line)["key"] for line in lines]
    toxicity = [key for key in keys if key["kind"] == "toxicity"]
    assert {key["part"] for key in toxicity} == {"RTP", "TET"} and len(toxicity) == 4
    monkeypatch.setattr(Bench, "_fit", lambda *_: pytest.fail("fitted again"))
    monkeypatch.setattr("benchmarks.language.cells.text_figures", lambda *_, **__: pytest.fail("again"))
    paper_rows.main(words)
    assert (tmp_path / "paper.jsonl").read_text(encoding="utf-8").splitlines() == lines


def test_continuations_have_the_paper_s_length_and_seeds() -> None:
    defaults = paper_rows._parser().parse_args(["qwen2.5-7b"])
    assert paper_rows.TOKENS == 32 and defaults.seeds == [0, 1, 2, 3] and defaults.strength == 1.0


def test_the_page_has_means_over_seeds_beside_the_paper_s(tmp_path: Path) -> None:
    results, name = Results(tmp_path / "r.jsonl"), "qwen2.5-1.5b"
    results.compute({"kind": "machine", "model": name}, lambda: {"model": "Qwen", "threads": "1"})
    text = TextFigures(perplexity=Perplexity((2.0, 0.0), (1, 10)))
    for seed, hits in ((0, 1), (1, 3)):
        variant = {"method": "lin-act", "shuffle": seed}
        cell = {"variant": variant, "strength": 1.0}
        for part in ("RTP", "TET"):
            toxic = TextFigures(Toxicity((hits * (1 + (part == "TET")),), (10,)))
            key = {"kind": "toxicity", "model": name, **cell, "part": part, "seed": seed}
            results.compute(key, toxic.as_dict)
        results.compute({"kind": "knowledge", "model": name, **cell}, text.as_dict)
        told = {"kind": "row", "model": name, "label": "Lin-AcT", "seed": seed}
        fit = {"seconds": 3.0, "parameters": 86016}
        results.compute(told, lambda cell=cell, fit=fit: {**cell, "fit": fit})
    results.compute({"kind": "refused", "model": name, "label": "ReFT"}, lambda: "no\nroom")
    (row,) = [line for line in page(results).splitlines() if line.startswith("| Lin-AcT")]
    assert row.startswith("| Lin-AcT | 20.00 ± 14.14 (1.50) | 40.00 ± 28.28 (13.88) | 4.19 ± 0.00 (13.88) |")
    assert row.endswith("| – | 0 1 | 3 | 86,016 |")  # accuracy was not measured
    assert "- ReFT: no room" in page(results)


class Answers:
    """Stands for a model: the loss of an answer is given by its text."""

    losses = {" No": 1.0, " Yes": 2.0, " They cannot": 1.0 + math.log(2)}


def test_mc1_takes_the_likeliest_answer_and_mc2_the_share_of_the_right_ones(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def weighed(model: Any, tokenizer: Any, openings: Any, made: Any) -> Perplexity:
        assert set(openings) == {"Q: Can pigs fly?\nA:"}
        return Perplexity(tuple(model.losses[text] for (text,) in made), (1,) * len(made))

    monkeypatch.setattr(paper_truthful, "fluency", weighed)
    question = paper_data.truthful_questions(HUB["truthfulqa/truthful_qa"])[0]
    ((best, share),) = paper_truthful.scored(Answers(), None, [question])
    assert best == 1
    assert share == pytest.approx(1.5 / (1.5 + math.exp(-1)))
    (other,) = paper_truthful.scored(Answers(), None, [replace(question, best=(("No", "Yes"), 1))])
    assert other[0] == 0


def test_each_fold_is_answered_by_a_fit_to_the_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fitted, measured = [], []
    real = Bench.fitted

    def noted(bench: Bench, variant: Any) -> Any:
        fitted.append({text.partition("\n")[0] for text in bench.corpus.source})
        return real(bench, variant)

    def scored(model: Any, tokenizer: Any, questions: Any) -> Any:
        measured.append({f"Q: {each.text}" for each in questions})
        return [(1, 0.5)] * len(questions)

    monkeypatch.setattr(Bench, "fitted", noted)
    monkeypatch.setattr(paper_truthful, "scored", scored)
    words = ["qwen2.5-1.5b", "--quick", "--output", str(tmp_path), "--rows", "ITI-c", "--seeds", "0"]
    paper_truthful.main(words)
    assert len(fitted) == 2 and len(measured) == 4  # untouched, and steered, in two folds
    assert all(not texts & asked for texts, asked in zip(fitted, measured[2:], strict=True))
    assert set.union(*measured[2:]) == {f"Q: {each.text}" for each in paper_truthful.QUICK}
    text = (tmp_path / "truthful.md").read_text(encoding="utf-8")
    assert "| ITI-c | 100.0% (100.0% to 100.0%) | 50.0% (50.0% to 50.0%) | 1 |" in text
    paper_truthful.main(words)
    assert len(measured) == 4
