"""The table of methods on the bundled model, with a step of training and a handful of images."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.images import erasure, image_ablations, injection

SHORT = ["--steps", "1", "--strengths", "0.5", "--count", "2", "--held-out", "2", "--concepts", "time:night"]


def test_rows_are_measured_once_and_make_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("open_clip")
    words = [
        *SHORT,
        "--output",
        str(tmp_path),
        "--pictures",
        str(tmp_path / "pictures"),
        "--variants",
        "LinEAS affine",
        "Mean-AcT",
    ]
    erasure.main(words)
    page = (tmp_path / "erasure.md").read_text(encoding="utf-8")
    for heading in ("## LinEAS affine", "## Mean-AcT", "2 held-out prompts with the concept and 2 without"):
        assert heading in page
    assert "time:night" in page and (tmp_path / "erasure_methods.png").exists()
    assert (tmp_path / "pictures" / "time_night_Mean-AcT.png").exists()
    lines = (tmp_path / "erasure.jsonl").read_text(encoding="utf-8").splitlines()
    assert len(lines) == 3
    asked = []
    monkeypatch.setattr(erasure.Bench, "row", lambda *cell: asked.append(cell) or pytest.fail("again"))
    erasure.main(words)
    assert (tmp_path / "erasure.md").read_text(encoding="utf-8") == page
    with pytest.raises(pytest.fail.Exception, match="again"):
        erasure.main([*words, "--strengths", "2"])
    assert asked[0][3] == [0.0, 0.5, 1.0, 2.0]  # what it lacked, with what it had
    monkeypatch.setattr(erasure, "weights", lambda: "other weights")
    erasure.main([*words, "--render"])  # rows of other weights are not shown, and the page is left alone
    assert (tmp_path / "erasure.md").read_text(encoding="utf-8") == page


def test_added_concepts_make_their_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("open_clip")
    for name, value in {"COUNT": 2, "HELD_OUT": 2, "STRENGTHS": (1.0,)}.items():
        monkeypatch.setattr(injection, name, value)
    monkeypatch.setitem(injection.VARIANTS, "LinEAS", {"sites": "text", "steps": 1})
    folders = ["--output", str(tmp_path), "--pictures", str(tmp_path / "pictures")]
    injection.main(["--variants", "LinEAS", "CAA", "--concepts", "time:night", *folders])
    page = (tmp_path / "injection.md").read_text(encoding="utf-8")
    assert "## LinEAS\n" in page and "## CAA\n" in page and "| time:night | 0.0% |" in page
    assert (tmp_path / "pictures" / "add_time_night_CAA.png").exists()


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
