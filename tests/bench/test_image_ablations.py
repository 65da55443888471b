"""Table C of images: cells are computed once, and what is refused says why."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from benchmarks.images import bench as benches
from benchmarks.images import image_ablations
from benchmarks.images.image_ablations import ABLATIONS, Ablation
from lineas.intents.plan import plan_for
from lineas.prompts.banks import REMOVE, SCENES


def row(hits: int) -> dict[str, Any]:
    rate = {"hits": hits, "total": 10}
    figures = dict.fromkeys(("done", "rest_kept", "all_kept"), rate)
    return {"steered": figures, "others_kept": rate, "strength_unit": 1.0, "cpu_seconds": 3.0}


def test_cells_are_computed_once_and_one_prompt_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []

    def by_intent(bench: benches.Bench, intent: str, concept: str, seed: int) -> dict[str, Any]:
        asked.append(dict(bench.options))
        plan_for(intent, concept, bank=SCENES, count=bench.options.get("count", 2), seed=seed)
        return row(7 if bench.options else 9)

    monkeypatch.setattr(benches.Bench, "by_intent", by_intent)
    monkeypatch.setattr(image_ablations, "load_pipeline", lambda: None)
    words = ["--output", str(tmp_path), "--steerings", str(tmp_path / "s")]
    for _ in range(2):
        image_ablations.main([*words, "--only", "the default", "N = 1", "rows mean"])
    assert asked == [{}, {}, {"count": 1}, {"count": 1}, {"rows": "mean"}, {"rows": "mean"}]
    text = (tmp_path / "ablations.md").read_text(encoding="utf-8")
    assert "| the default | 90% | 90% | 90.0% (" in text and "| rows mean | 70% | 70% |" in text
    assert "- N = 1: Got count=1, expected at least 2 prompts per set" in text
    assert "| N = 1 |" not in text


@pytest.mark.parametrize("ablation", [each for each in ABLATIONS if each.label != "N = 1"])
def test_every_row_is_a_plan_that_differs_from_the_default(ablation: Ablation) -> None:
    options = dict(ablation.options)
    default = plan_for(REMOVE, "clock", bank=SCENES)
    made = plan_for(REMOVE, "clock", bank=SCENES, count=options.pop("count", 32)).with_settings(**options)
    same = (made.sites, made.config, len(made.sets.source)) == (default.sites, default.config, 32)
    assert same is (ablation.label == "the default")
