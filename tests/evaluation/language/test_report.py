"""Continuations, toxicity, perplexity and accuracy of tiny language models."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from toys.language import SOURCE, TARGET, config, model, tokenizer, transformers
from transformers import TopPLogitsWarper

from lineas.adapters.language.writing import NucleusDraw, Sampling, continuations
from lineas.adapters.problems import fit
from lineas.apply.hooks import steer
from lineas.errors import ConfigError, HubError, MismatchError, PromptError
from lineas.evaluation.language.multiple_choice import Accuracy, multiple_choice
from lineas.evaluation.language.perplexity import Perplexity, fluency, paragraphs, perplexity
from lineas.evaluation.language.report import TextFigures, Toxicity, judged, text_figures
from lineas.evaluation.language.table import text_table
from lineas.evaluation.language.toxicity import TransformersJudge, load_judge
from lineas.evaluation.rates import bootstrap_interval

EVERYDAY = Path(__file__).parents[3] / "benchmarks" / "language" / "data" / "everyday" / "everyday.yaml"


def about_cold(texts: Any) -> list[float]:
    return [0.9 if "cold" in text or "night" in text else 0.1 for text in texts]


def test_continuations_repeat_with_the_seed_and_leave_the_random_state_alone() -> None:
    made, words = model("Llama"), tokenizer()
    torch.manual_seed(7)
    state = torch.get_rng_state()
    options = {"samples": 3, "sampling": Sampling(tokens=6, top_p=1.0)}
    first = continuations(made, words, SOURCE, seed=1, **options)
    assert torch.equal(torch.get_rng_state(), state)
    assert first == continuations(made, words, SOURCE, seed=1, **options)
    assert first != continuations(made, words, SOURCE, seed=2, **options)
    assert [len(texts) for texts in first] == [3] * len(SOURCE)
    assert len({text for texts in first for text in texts}) > 4


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("top_p", [0.05, 0.3, 0.9, 0.999, 1.0])
def test_nucleus_has_the_shares_of_stock_sampling(top_p: float, temperature: float) -> None:
    spread = torch.tensor([0.1, 0.5, 3.0, 8.0]).unsqueeze(1)  # flat rows need more tokens than the candidates
    scores = spread * torch.randn(4, 1000, generator=torch.Generator().manual_seed(0))
    ids = torch.zeros(4, 1, dtype=torch.long)
    for rows in (scores, scores[2:]):
        stock = TopPLogitsWarper(top_p)(ids, rows / temperature).softmax(-1)
        shares, tokens = NucleusDraw(top_p, temperature, candidates=50).nucleus(rows)
        whole = torch.zeros_like(stock).scatter_(-1, tokens, shares / shares.sum(-1, keepdim=True))
        torch.testing.assert_close(whole, stock, rtol=1e-5, atol=1e-8)


def test_draws_follow_the_shares_of_the_nucleus() -> None:
    scores = torch.tensor([0.4, 0.3, 0.2, 0.1]).log().expand(20000, 4)
    torch.manual_seed(0)
    marked = NucleusDraw(top_p=0.8)(torch.zeros(20000, 1, dtype=torch.long), scores)
    counts = marked.argmax(-1).bincount(minlength=4) / 20000
    torch.testing.assert_close(counts, torch.tensor([4 / 9, 3 / 9, 2 / 9, 0.0]), rtol=0, atol=0.015)


def test_greedy_continuations_do_not_depend_on_the_batch_around_them() -> None:
    made, words, seen = model("Llama"), tokenizer(), []
    greedy = Sampling(tokens=5, temperature=0, repetition_penalty=1.0)
    whole = continuations(made, words, SOURCE, sampling=greedy, batch=8, progress=seen.append)
    alone = [continuations(made, words, [text], sampling=greedy)[0] for text in SOURCE]
    assert whole == alone and sum(seen) == len(SOURCE)
    ids = words(SOURCE[0], return_tensors="pt", return_token_type_ids=False)
    out = made.generate(**ids, max_new_tokens=5, do_sample=False)[0]
    assert words.decode(out, skip_special_tokens=True) == SOURCE[0] + whole[0][0]


def test_impossible_sampling_is_refused() -> None:
    for wrong in ({"tokens": 0}, {"temperature": -1.0}, {"top_p": 0.0}, {"repetition_penalty": 0.0}):
        with pytest.raises(ConfigError, match="Cannot sample"):
            Sampling(**wrong)
    with pytest.raises(PromptError, match="no openings"):
        continuations(model("Llama"), tokenizer(), [])
    with pytest.raises(ConfigError, match="at least 1"):
        continuations(model("Llama"), tokenizer(), SOURCE, samples=0)


@torch.no_grad()
def test_perplexity_is_the_mean_over_tokens_whatever_the_batch() -> None:
    made, words, total, count = model("Llama"), tokenizer(), 0.0, 0
    for text in (*SOURCE, *TARGET):
        ids = words(text, return_tensors="pt")["input_ids"]
        if ids.shape[1] > 1:
            total += made(input_ids=ids, labels=ids).loss.item() * (ids.shape[1] - 1)
            count += ids.shape[1] - 1
    for batch in (1, 4, 16):
        found = perplexity(made, words, [*SOURCE, *TARGET], batch=batch)
        assert sum(found.tokens) == count
        assert found.value == pytest.approx(math.exp(total / count), rel=1e-5)
    assert sum(perplexity(made, words, SOURCE, max_length=3).tokens) < sum(found.tokens)
    with pytest.raises(PromptError, match="two tokens"):
        perplexity(made, tokenizer(specials=False), ["cold"])


def test_a_rise_of_perplexity_is_paired() -> None:
    base = Perplexity((100.0, 10.0, 50.0), (20, 10, 30))
    risen = Perplexity(
        tuple(loss + 0.02 * n for loss, n in zip(base.losses, base.tokens, strict=True)), base.tokens
    )
    rise, low, high = risen.rise_over(base)
    assert rise == pytest.approx(math.exp(0.02) - 1)
    assert (low, high) == (pytest.approx(rise), pytest.approx(rise))
    assert base.interval[0] < base.value < base.interval[1]
    assert paragraphs("a\nb\n\n\n c \n") == ["a b", "c"]


def test_bootstrap_covers_a_known_mean_as_often_as_it_says() -> None:
    generator = torch.Generator().manual_seed(0)
    inside = 0
    for _ in range(100):
        sums = torch.randn(40, generator=generator) + 3
        low, high = bootstrap_interval(sums.tolist(), [1.0] * 40)
        inside += low < 3 < high
    assert 87 <= inside <= 100
    with pytest.raises(MismatchError):
        bootstrap_interval([1.0], [])


def test_toxic_continuations_are_counted_by_opening() -> None:
    found = judged(about_cold, [["cold", "warm"], ["night", "cold"], ["sun", "day"]])
    assert (found.hits, found.counts) == ((1, 2, 0), (2, 2, 2))
    assert found.rate.value == 0.5 and found.interval[0] < 0.5 < found.interval[1]
    none = Toxicity((0, 0), (2, 2))
    assert none.interval[0] == 0 and 0.5 < none.interval[1] < 0.8  # two openings tell little


def test_the_offline_judge_knows_rude_from_civil() -> None:
    pytest.importorskip("profanity_check")
    rude, civil = load_judge()(["You stupid idiot, shut up.", "Thank you for the lovely evening."])
    assert rude > 0.5 > civil
    assert load_judge()([]) == []


def classifier(folder: Path, labels: list[str]) -> str:
    torch.manual_seed(0)
    options = {"id2label": dict(enumerate(labels)), "label2id": {n: i for i, n in enumerate(labels)}}
    base = config("Llama")
    base.update(options)
    transformers.LlamaForSequenceClassification(base).save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    return str(folder)


def test_any_classifier_of_transformers_judges(tmp_path: Path) -> None:
    name = classifier(tmp_path / "one", ["neutral", "toxic"])
    judge = load_judge(name)
    assert isinstance(judge, TransformersJudge) and judge.label == "toxic"
    other = load_judge(name, label="neutral")
    texts = list(SOURCE)
    assert [a + b for a, b in zip(judge(texts), other(texts), strict=True)] == pytest.approx([1] * len(texts))
    with pytest.raises(ConfigError, match="Say which one counts"):
        load_judge(classifier(tmp_path / "two", ["a", "b"]))
    with pytest.raises(HubError, match="needs no download"):
        load_judge("/nowhere/at-all")


def test_accuracy_comes_from_the_harness_and_changes_are_paired() -> None:
    pytest.importorskip("lm_eval")
    found = multiple_choice(model("Llama"), tokenizer(), EVERYDAY, limit=6)
    assert found.rate.total == 6
    with pytest.raises(PromptError, match="Cannot read"):
        multiple_choice(model("Llama"), tokenizer(), "nowhere.yaml")
    base, worse = Accuracy((True, True, False, True)), Accuracy((True, False, False, True))
    change, low, high = worse.change_over(base)
    assert change == -0.25 and low <= change <= high == 0


def test_what_a_steering_writes_is_weighed_by_the_model_without_it(monkeypatch: Any) -> None:
    lm, words, drawn = model("Llama"), tokenizer(), Sampling(tokens=3)
    found = fit(lm, SOURCE, TARGET, tokenizer=words, method="mean-act")
    asked: dict[str, Any] = {"openings": SOURCE, "judge": about_cold, "sampling": drawn, "texts": TARGET}
    base, steered = text_figures(lm, words, **asked), text_figures(lm, words, [found], [2.0], **asked)
    with steer(lm, found, strength=2.0):
        made = continuations(lm, words, SOURCE, sampling=drawn)
        by_itself = fluency(lm, words, SOURCE, made)
        assert steered.perplexity == perplexity(lm, words, TARGET) != base.perplexity
    assert steered.fluency == fluency(lm, words, SOURCE, made) != by_itself
    assert base.fluency is not None and steered.examples[0] == (SOURCE[0], made[0][0])
    cells = text_table({"none": base, "steered": steered}).splitlines()[3].split(" | ")
    assert steered.fluency is not None
    rise = steered.fluency.value / base.fluency.value - 1
    assert cells[2] == f"{steered.fluency.value:.2f}: {rise:+.1%}"
    monkeypatch.setattr("lineas.evaluation.language.report.continuations", lambda *_, **__: [[""]] * 4)
    silent = text_figures(lm, words, **asked)
    assert silent.fluency is None and silent.toxicity is not None and silent.toxicity.rate.hits == 0


def test_figures_go_to_plain_values_and_back_and_into_a_table() -> None:
    made = text_figures(
        model("Llama"),
        tokenizer(),
        openings=SOURCE,
        judge=about_cold,
        texts=TARGET,
        sampling=Sampling(tokens=3),
    )
    again = TextFigures.from_dict(made.as_dict())
    assert again == made and made.toxicity is not None and len(made.examples) == 4
    assert made.toxicity.rate.total == len(SOURCE)
    lines = text_table({"none": made, "half": again}, "strength").splitlines()
    heads = ("strength", "toxic continuations", "perplexity of the continuations", "perplexity")
    assert lines[0] == f"| {' | '.join(heads)} |" and lines[3].count("+0.0%") == 4
    with pytest.raises(ConfigError, match="Nothing to measure"):
        text_figures(model("Llama"), tokenizer())
    with pytest.raises(ConfigError, match="give a judge"):
        text_figures(model("Llama"), tokenizer(), openings=SOURCE)
