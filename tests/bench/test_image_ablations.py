"""Tables C and D on the bundled model, with a step of training and a handful of images."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.images import image_ablations


def test_ablations_and_compositions_make_their_tables(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(image_ablations, "HELD_OUT", 2)
    monkeypatch.setattr(image_ablations, "BASE", {**image_ablations.BASE, "steps": 1})
    few = [image_ablations.Ablation("N = 2", count=2), image_ablations.Ablation("γ", 2, {"sparsity": 0.1})]
    monkeypatch.setattr(image_ablations, "ABLATIONS", few)
    monkeypatch.setattr(image_ablations, "CONCEPTS", ("time:night",))
    monkeypatch.setattr(image_ablations, "PAIRS", (("time:night", "style:sepia"),))
    monkeypatch.setattr(image_ablations, "END_TO_END", {"sites": "text", "map": "affine"})
    monkeypatch.setattr(image_ablations, "COMPOSED_STEPS", 1)
    image_ablations.main(["C", "D", "--output", str(tmp_path)])
    page = (tmp_path / "image_ablations.md").read_text(encoding="utf-8")
    assert "| N = 2 |" in page and "| γ |" in page
    assert "| sum |" in page and "## Table D: time:night and style:sepia" in page
    assert all(
        "night" in text and "sepia" in text
        for text in image_ablations.both_named(("time:night", "style:sepia"))
    )
