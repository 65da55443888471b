"""The report of an intent on texts, and its judge, which is the model itself."""

from __future__ import annotations

from dataclasses import replace

import pytest
from toys.language import PRESERVE, SOURCE, TARGET, model, tokenizer

from lineas.adapters.problems import fit
from lineas.apply.hooks import steer
from lineas.errors import ConfigError, PromptError
from lineas.evaluation.language.intent_report import SAMPLES, text_report
from lineas.evaluation.language.likeness import Likeness
from lineas.evaluation.language.perplexity import perplexity
from lineas.intents.plan import Plan, plan_for
from lineas.prompts.banks import ADD, REMOVE, PromptSets

HELD_OUT = (tuple(SOURCE), tuple(TARGET[:4]), tuple(PRESERVE[:2]), tuple(TARGET[:4]))


def planned(intent: str = REMOVE) -> Plan:
    """A plan with held-out texts, all of which are for the report."""
    made = plan_for(intent, "cold", is_text=True, examples=SOURCE, others=TARGET, preserve=PRESERVE)
    return replace(made, sets=replace(made.sets, held_out=HELD_OUT))


@pytest.fixture(autouse=True)
def none_to_calibrate(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lineas.prompts.banks.CALIBRATING", 0)


@pytest.mark.parametrize("name", ["Llama", "GPT2"])
def test_the_judge_tells_texts_apart_in_any_batch(name: str) -> None:
    judge = Likeness(model(name), tokenizer(), SOURCE, TARGET)
    texts = [*SOURCE, *TARGET]
    found = judge(texts)
    assert all(share > 0.5 for share in found[: len(SOURCE)])
    assert all(share < 0.5 for share in found[len(SOURCE) :])
    assert found == pytest.approx([judge([text])[0] for text in texts], abs=1e-4)
    assert judge(["", "cold"])[0] == 0.0
    with pytest.raises(PromptError, match="some of either kind"):
        Likeness(model(name), tokenizer(), SOURCE, [])


@pytest.mark.parametrize("intent", [REMOVE, ADD])
def test_a_report_says_what_is_written_and_what_others_lose(intent: str) -> None:
    made, words, plan = model("Llama"), tokenizer(), planned(intent)
    steering = fit(made, SOURCE, TARGET, tokenizer=words, steps=20, learning_rate=0.1)
    report = text_report(made, words, plan, steering)
    for figures in (report.unsteered, report.prompting, report.steered):
        assert figures.toxicity is not None and figures.toxicity.counts == (SAMPLES,) * len(SOURCE)
    assert [opening for opening, _ in report.steered.examples] == [
        "the cold",
        "cold",
        "the grey night is",
        "rain at",
    ]
    assert report.prompting.examples[0][0] == f"{TARGET[0]} the cold"
    others = plan.sets.held_out[2]
    assert report.others == perplexity(made, words, others)
    with steer(made, steering):
        assert report.others_steered == perplexity(made, words, others)
    told = report.markdown()
    assert "| steering, strength 1 | " in told and "| prompting by examples | " in told
    assert f"perplexity {report.others.value:.2f}, steered" in told and "- the cold …" in told
    assert ("hardly tells" in told) is not report.told_apart


def test_where_the_judge_sees_no_difference_the_report_says_so() -> None:
    made, words, plan = model("Llama"), tokenizer(), planned()
    alike = replace(plan, sets=replace(plan.sets, held_out=(HELD_OUT[0], HELD_OUT[0], *HELD_OUT[2:])))
    steering = fit(made, SOURCE, TARGET, tokenizer=words, steps=2)
    report = text_report(made, words, alike, steering)
    assert not report.told_apart and "hardly tells the two kinds" in report.markdown()


def test_without_texts_to_measure_on_it_is_refused() -> None:
    plan = replace(planned(), sets=PromptSets(("a",), ("b",), ()))
    with pytest.raises(ConfigError, match="Give more than 48"):
        text_report(
            model("Llama"),
            tokenizer(),
            plan,
            fit(model("Llama"), SOURCE, TARGET, tokenizer=tokenizer(), steps=2),
        )
