"""The paper's image rows on a tiny pipeline of the same class."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers.normalizers import Replace
from toys.pipelines import WORDS, sdxl

from benchmarks.images import paper_images
from benchmarks.images.paper_images import BY_INTENT, CONCEPTS, PUBLISHED, plan_of, prompts_apart
from benchmarks.images.paper_training import BATCH, RATE, STEPS, fit_as_published
from lineas.adapters.images.recipes import RECIPES, Recipe
from lineas.adapters.problems import problem_for
from lineas.evaluation.images.image_measures import image_measures
from lineas.intents import plan as plans
from lineas.prompts.files import neutral_captions


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> paper_images.Bench:
    monkeypatch.setattr(plans, "HELD_OUT", 2)
    pipe = sdxl()
    for tokenizer in (pipe.tokenizer, pipe.tokenizer_2):  # the paper's concepts are not among its few words
        tokenizer.backend_tokenizer.normalizer = Replace("car", f" {WORDS[0]} ")
    measures = lambda prompts, text: image_measures(prompts)  # noqa: E731
    return paper_images.Bench(pipe, tmp_path, measures, Recipe("one"), count=2, held_out=2, steps=1)


def test_rows_are_computed_once(bench: paper_images.Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(2):
        results = paper_images.run(bench, [PUBLISHED, "ITI-c", BY_INTENT], ["car"])
        monkeypatch.setattr(paper_images.Bench, "cell", lambda *_: pytest.fail("computed again"))
    rows = {key["method"]: value for key, value in results.find(kind="row")}
    assert set(rows) == {PUBLISHED, "ITI-c", BY_INTENT}
    assert len(rows[PUBLISHED]["removed"]["mean square change"]) == 5
    assert len(rows["ITI-c"]["injected"]["mean square change"]) == 2
    assert rows[BY_INTENT]["injected"] is None  # gated maps have no inverse
    text = (bench.folder / "images.md").read_text(encoding="utf-8")
    (row,) = [line for line in text.splitlines() if line.startswith("| ITI-c | 1 |")]
    assert row.endswith("| 0.19, 0.24 |") and f"| {BY_INTENT} | car |" in text


def test_a_person_is_asked_by_a_blind_page(bench: paper_images.Bench) -> None:
    page = bench.page("Lin-AcT", ["car"], pairs=1)
    assert PUBLISHED in page and "Lin-AcT" in page and "(without: car)" in page
    assert page.count("data:image/png") == 3  # both, and the unsteered one


def test_the_concepts_and_the_setting_are_the_paper_s() -> None:
    assert len(CONCEPTS) == 15 and paper_images.RECIPE in RECIPES
    assert (STEPS, BATCH, RATE) == (1000, 4, 1e-4)


@pytest.mark.parametrize("concept", ["vaporwave", "car", "macro"])
def test_no_caption_is_both_trained_on_and_measured(concept: str) -> None:
    sets = plan_of(concept).sets
    with_it, without = prompts_apart(concept, plan_of(concept), 32)
    assert len(with_it) == len(without) == 32
    trained = "\n".join(
        text for each in (sets.source, sets.target, sets.preserve, *sets.held_out) for text in each
    )
    measured = "\n".join((*with_it, *without))
    seen, tested = (
        {caption for caption in neutral_captions() if caption.lower() in texts.lower()}
        for texts in (trained, measured)
    )
    assert len(tested) >= 32 and not seen & tested


def test_each_step_takes_other_prompts_and_adamw_moves_every_unit_by_the_rate(
    bench: paper_images.Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, target = [[word, f"{word} {word}"] for word in WORDS[:2]]
    problem: Any = problem_for(bench.pipe, source, target, recipe=bench.recipe)
    ran: list[tuple[int, ...]] = []
    real = problem.run

    def run(group: str, indices: Any) -> None:
        if torch.is_grad_enabled() and group == "source":
            ran.append(tuple(indices))
        real(group, indices)

    monkeypatch.setattr(problem, "run", run)
    steering = fit_as_published(problem, steps=6, batch=1, rate=0.01)
    steps = [each for each in ran if len(each) == 1][-6:]
    assert set(steps) == {(0,), (1,)}
    again = fit_as_published(problem_for(bench.pipe, source, target, recipe=bench.recipe), 6, 1, 0.01)
    for site, map in steering.maps.items():
        for name, tensor in map.tensors().items():
            assert torch.allclose(tensor, again.maps[site].tensors()[name], atol=1e-6)
    largest = max(t.abs().max().item() for map in steering.maps.values() for t in map.tensors().values())
    assert 0.005 < largest < 6 * 0.0105  # Adam moves a unit by about the rate, whatever the cost's scale
    assert steering.provenance.settings["optimizer"] == "adamw"
