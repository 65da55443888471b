"""The page of calibrations: means are over the steerings that CLIP tells apart."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.images.calibration import BY_CLIP, COST, END, page, row_key
from benchmarks.results import Results


def calibrated(done: int, unit: float = 1.0) -> dict[str, Any]:
    rates = {"all_kept": {"hits": done, "total": 10}, "others_kept": {"hits": 10, "total": 10}}
    rates["done"] = rates["all_kept"]
    end = {**rates, "all_kept": {"hits": 0, "total": 10}}
    return {**rates, "strength_unit": unit, "usable_from": 0.5, "usable_to": 2.0, END: end}


def test_means_are_over_what_clip_tells_apart(tmp_path: Path) -> None:
    results = Results(tmp_path / "calibration.jsonl")
    rows = {
        "at night": {"told_apart": True, COST: calibrated(9), BY_CLIP: calibrated(8, 1.25)},
        "rain": {"told_apart": True, COST: calibrated(7), BY_CLIP: calibrated(8)},
        "clock": {"told_apart": False, COST: calibrated(0), BY_CLIP: calibrated(0)},
        "robot": {"told_apart": True, COST: calibrated(0)},  # goes no way at all in CLIP's eyes
    }
    for concept, row in rows.items():
        results.compute(row_key("w", "remove", concept), lambda row=row: row)
    text = page(results, {"scenes": "w", "scenes-transformer": "none"})
    night = "| at night | 1 (0.5–2) | 90% / 90% / 100% | 90% / 0% / 100% | 1.25 (0.5–2) | 80% / 80% / 100% | "
    assert night + "80% / 0% / 100% |" in text
    assert "| clock | 1 (0.5–2) | 0% / 0% / 100% | 0% / 0% / 100% | – | – | – |" in text
    assert "| robot | 1 (0.5–2) | 0% / 0% / 100% | 0% / 0% / 100% | – | – | – |" in text
    assert "mean of all |  | 40.0% (" in text
    assert "mean of 2 that CLIP tells |  | 80.0% (70.0% to 90.0%)" in text
    assert "| add |" not in text and "scenes-transformer" not in text
