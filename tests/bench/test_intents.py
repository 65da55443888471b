"""Table B on the bundled model, with steps and images that are counted on one hand."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from benchmarks.images import bench, choosing, intents
from benchmarks.images.bench import (
    CROSS_ATTENTION,
    PLACES,
    PUBLISHED,
    Bench,
    Way,
    places_of,
    rivals,
    without,
)
from benchmarks.images.intents_report import BY_INTENT, mean_over_concepts, page, row_key, ways_of
from benchmarks.results import Results
from lineas.adapters import intents as adapter
from lineas.intents import plan as plans
from lineas.prompts.banks import ADD, REMOVE, SWAP


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two prompts a set, a step, one concept to choose on."""
    monkeypatch.setattr(plans, "HELD_OUT", 18)
    monkeypatch.setattr(adapter, "calibrate", lambda problem, config, steering, clip: steering)
    monkeypatch.setattr(bench, "TRIED", 1)
    monkeypatch.setattr(bench, "PLACES", ("text",))
    monkeypatch.setattr(bench, "PUBLISHED_STEPS", 1)
    monkeypatch.setattr(choosing, "CONCEPTS", ("at night",))
    monkeypatch.setattr(choosing, "STRENGTHS", (1.0,))
    few = {"count": 2, "steps": 1, "sites": "text", "rows": "mean"}
    made = lambda pipe, folder, weights: Bench(pipe, folder, weights, few)  # noqa: E731
    monkeypatch.setattr(intents, "Bench", made)


@pytest.mark.usefixtures("small")
def test_rows_are_computed_once_and_make_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = ["--output", str(tmp_path), "--pictures", str(tmp_path / "p"), "--intents", "remove"]
    words += ["--concepts", "at night", "--methods", BY_INTENT, "caa", PUBLISHED]
    intents.main(words)
    text = (tmp_path / "intents.md").read_text(encoding="utf-8")
    for start in ("untouched model", "prompting (the oracle)", BY_INTENT, PUBLISHED):
        assert f"\n| {start} | 1 of 14, 0 |" in text
    assert "\n| caa, text encoder norms | 1 of 14, 0 |" in text
    lines = (tmp_path / "intents.jsonl").read_text(encoding="utf-8").splitlines()
    assert len(lines) == 6  # three rows, and of one method a trial, its place and its strength
    for name in ("by", "by_intent", "tried", "fitted"):
        monkeypatch.setattr(Bench, name, lambda *_: pytest.fail("computed again"))
    intents.main(words)
    assert (tmp_path / "intents.md").read_text(encoding="utf-8") == text
    monkeypatch.setattr(intents, "weights_there", lambda model: "others")
    intents.main([*words, "--render"])  # rows of other weights are not shown
    assert "## Remove" not in (tmp_path / "intents.md").read_text(encoding="utf-8")


def report(done: int, all_kept: int, others: int, total: int = 10) -> dict[str, Any]:
    figures = {"done": done, "rest_kept": total, "all_kept": all_kept}
    steered = {name: {"hits": hits, "total": total} for name, hits in figures.items()}
    nothing = {name: {"hits": 0, "total": total} for name in figures}
    return {
        "unsteered": nothing, "prompting": nothing, "steered": steered,
        "others_kept": {"hits": others, "total": total},
    }  # fmt: skip


class Tried:
    """A bench whose trials are known: red wants λ = 2 at the text encoder, and the clock 0.5."""

    weights, pipe = "w", None

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, float]] = []

    def tried(self, way: Way, intent: str, concept: str) -> dict[str, Any]:
        self.asked.append((concept, way.sites, way.strength))
        if way.sites != "text":
            return report(10, 10, 4)
        best = {"red": 2.0, "clock": 0.5}[concept]
        return report(10, 9 if way.strength == best else 4, 10)


def test_a_place_is_chosen_for_all_and_a_strength_for_each_concept_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(choosing, "CONCEPTS", ("red",))
    known: Any = Tried()
    for _ in range(2):
        results = Results(tmp_path / "r.jsonl")
        assert choosing.chosen(known, results, REMOVE, "caa", "red") == Way("caa", "text", 2.0)
        assert choosing.chosen(known, results, REMOVE, "caa", "clock") == Way("caa", "text", 0.5)
    assert len(known.asked) == len(set(known.asked))
    # From a score below half of the best on, no greater strength is tried.
    assert ("red", "text", 4.0) in known.asked and ("red", "text", 8.0) not in known.asked
    assert [strength for c, _, strength in known.asked if c == "clock"] == [0.5, 1.0]


def test_where_nothing_is_as_wanted_with_all_the_rest_what_others_keep_counts() -> None:
    assert choosing.score_of(report(3, 0, 9)) > choosing.score_of(report(10, 0, 2))
    assert choosing.score_of(report(5, 5, 8)) == (pytest.approx(0.4), pytest.approx(0.4))


def test_trials_are_on_prompts_that_no_row_is_measured_on() -> None:
    made = plans.plan_for(REMOVE, "clock", bank="scenes model", count=2, seed=bench.TRYING_SEED)
    source, twins, others = made.sets.for_reporting or ((), (), ())
    apart = without(made, {source[0], others[2]}, 3).sets.for_reporting
    assert apart == tuple((each[1], each[3], each[4]) for each in (source, twins, others))


def test_intervals_are_over_concepts_after_the_mean_of_their_seeds() -> None:
    rows = {
        "clock": {0: report(10, 10, 10), 1: report(0, 0, 10)},
        "red": {0: report(10, 10, 10)},
        "pink": {0: report(10, 10, 10)},
    }
    found = mean_over_concepts(rows, rows, lambda row: row["steered"]["done"])
    assert found is not None
    mean, low, high = found
    assert mean == pytest.approx((0.5 + 1 + 1) / 3) and low == pytest.approx(0.5) and high == 1
    all_kept = mean_over_concepts(rows, rows, lambda row: row["others_kept"])
    assert all_kept is not None and all_kept[1] == pytest.approx(0.912, abs=1e-3)  # 40 of 40 images


def test_one_concept_has_the_interval_of_its_images() -> None:
    found = mean_over_concepts(
        {"clock": {0: report(5, 5, 5)}}, ["clock", "red"], lambda row: row["others_kept"]
    )
    assert found == pytest.approx((0.5, 0.237, 0.763), abs=1e-3)


def test_a_choice_made_anew_drops_the_older_rows(tmp_path: Path) -> None:
    results = Results(tmp_path / "r.jsonl")
    old, new = Way("caa", "norms", 1.0), Way("caa", "text", 2.0)
    results.compute(row_key("w", ADD, "clock", 0, old), lambda: report(1, 1, 1))
    results.compute(choosing.place_key("w", ADD, "caa"), lambda: {"sites": "text"})
    results.compute(choosing.strength_key("w", ADD, new, "clock"), lambda: {"strength": 2.0})
    results.compute(row_key("w", ADD, "clock", 0, Way("caa", "text", 4.0)), lambda: report(3, 3, 3))
    assert ways_of(results, "w", ADD) == {}
    results.compute(row_key("w", ADD, "clock", 0, new), lambda: report(2, 2, 2))
    assert list(ways_of(results, "w", ADD)) == ["caa, text encoder norms"]
    assert "| clock | 20% / 20% / 20% |" in page(results, "w", "scenes")


def test_what_can_only_damp_is_not_asked_to_add() -> None:
    assert set(rivals(REMOVE)) - set(rivals(ADD)) == {"aura"}
    assert rivals(ADD) == rivals(SWAP) and {"lin-act", "iti-c", "caa", PUBLISHED} <= {*rivals(ADD)}


def test_what_takes_away_by_default_is_told_to_add() -> None:
    way = Way("casteer", "text")
    assert [way.options(intent) for intent in (REMOVE, ADD, SWAP)] == [{}, {"turn": "toward"}, {}]
    assert "casteer" in rivals(REMOVE) and Way("caa", "text").options(ADD) == {}
    with_unet = SimpleNamespace(unet=None)
    for name in ("casteer", "midsteer"):
        assert places_of(name, with_unet) == (*places_of(name, None), CROSS_ATTENTION)
    assert places_of("caa", with_unet) == PLACES


def test_the_most_important_come_first_and_a_seed_is_whole_before_the_next() -> None:
    order = list(intents.cells((REMOVE, ADD), None, ("clock",), (0, 1)))
    assert order[0] == (BY_INTENT, REMOVE, "clock", 0)
    assert [each[3] for each in order] == sorted(each[3] for each in order)
