from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest
from PIL import Image

from lineas.errors import ConfigError, MismatchError, PromptError
from lineas.evaluation.images.concept_report import concept_report, markdown_head
from lineas.evaluation.rates import Rate

NIGHT, CAT, TREE = ("time", "night"), ("object", "cat"), ("object", "tree")
WITH, WITHOUT = ["cat at night", "tree at night", "cat tree at night"], ["cat", "tree"]


def draw(prompts: Sequence[str], strength: float) -> list[Image.Image]:
    """Red holds what is shown as bits: night goes at 0.5, and with it the cat of prompts that name night."""
    images = []
    for prompt in prompts:
        night = "night" in prompt and strength < 0.5
        cat = "cat" in prompt and not ("night" in prompt and strength >= 0.5)
        images.append(Image.new("RGB", (2, 2), (night + 2 * cat + 4 * ("tree" in prompt), 0, 0)))
    return images


def found(images: Sequence[Image.Image]) -> list[set[tuple[str, str]]]:
    values = [image.getpixel((0, 0))[0] for image in images]
    return [{c for bit, c in enumerate((NIGHT, CAT, TREE)) if value >> bit & 1} for value in values]


def test_what_is_gone_and_what_stayed_is_counted() -> None:
    report = concept_report(draw, found, NIGHT, WITH, WITHOUT, [1, 0.25])
    assert [figures.strength for figures in report.figures] == [0, 0.25, 1]
    off, full = report.at(0), report.at(1)
    assert (off.presence, full.presence) == (Rate(3, 3), Rate(0, 3))
    assert (off.erased, full.erased) == (Rate(0, 3), Rate(3, 3))
    assert (off.others_found, full.others_found) == (Rate(4, 4), Rate(2, 4))
    assert full.others_kept == Rate(2, 4)
    assert full.cross_kept == Rate(2, 2)
    assert full.cross_presence == Rate(0, 2)
    assert off.change == full.cross_change == 0
    assert full.change == pytest.approx(sum(x**2 for x in (3, 1, 3)) / 3 / 3 / 255**2)
    assert full.img_score is None


def test_only_what_a_prompt_names_is_expected() -> None:
    def named(prompt: str) -> set[tuple[str, str]]:
        return {("object", word) for word in prompt.split() if word in ("tree", "moon")} | {NIGHT}

    report = concept_report(draw, found, NIGHT, [*WITH, "moon"], WITHOUT, named=named)
    assert report.at(0).others_found == Rate(2, 3)
    assert report.at(1).others_kept == Rate(2, 2)
    assert report.at(1).cross_kept == Rate(1, 1)


def test_tables_and_json() -> None:
    report = concept_report(draw, found, NIGHT, WITH, WITHOUT)
    head, line, *rows = report.markdown().splitlines()
    assert f"{head}\n{line}" == markdown_head()
    assert {row.count("|") for row in (head, line, *rows)} == {head.count("|")}
    assert "time:night" in rows[0]
    assert "100.0%" in rows[0]
    plain = json.loads(json.dumps(report.as_dict(), allow_nan=False))
    assert plain["strengths"][1]["erased"]["value"] == 1
    low, high = Rate(3, 3).interval
    assert (plain["strengths"][1]["erased"]["low"], plain["strengths"][1]["erased"]["high"]) == (low, high)
    assert report.sweep().values("concept found") == (1, 0)
    with pytest.raises(ConfigError, match="not measured"):
        report.at(0.3)


def test_a_clip_model_adds_img_scores() -> None:
    class Clip:
        def image_text(self, images: list, text: str) -> object:
            import torch

            return torch.full((len(images),), float(len(text)))

        def image_image(self, images: list, reference: list) -> object:
            import torch

            return torch.tensor(
                [float(a.tobytes() == b.tobytes()) for a, b in zip(images, reference, strict=True)]
            )

    clip: Any = Clip()
    report = concept_report(draw, found, NIGHT, WITH, WITHOUT, clip=clip)
    assert report.at(1).clip_score is None
    report = concept_report(draw, found, NIGHT, WITH, WITHOUT, clip=clip, text="at night")
    assert (report.at(0).clip_score, report.at(1).clip_score) == (8, 8)
    assert (report.at(0).img_score, report.at(1).img_score, report.at(1).cross_img_score) == (1, 0, 1)


def test_bad_input_says_why() -> None:
    with pytest.raises(PromptError, match="0 prompts with"):
        concept_report(draw, found, NIGHT, [], WITHOUT)
    with pytest.raises(MismatchError, match="gave 2 images"):
        concept_report(lambda p, s: draw(p, s)[:2], found, NIGHT, WITH, WITHOUT)
