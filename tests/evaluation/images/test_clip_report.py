"""CLIP as the judge of an intent: what it counts on rendered scenes that are known."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from PIL import Image

from lineas.adapters.images.clip_score import ClipScore
from lineas.errors import ConfigError
from lineas.evaluation.images.clip_report import clip_report
from lineas.intents.plan import Plan, plan_for
from lineas.prompts.banks import SCENES
from lineas.scenes.bundled import CLIP
from lineas.scenes.grammar import parse
from lineas.scenes.nuisance import COUNT
from lineas.scenes.render import render

pytest.importorskip("open_clip")


@pytest.fixture(scope="module")
def clip() -> ClipScore:
    return ClipScore.load(CLIP)


@pytest.fixture(scope="module")
def plan() -> Plan:
    return plan_for("remove", "at night", bank=SCENES, count=2)


def drawn(prompts: Sequence[str]) -> list[Image.Image]:
    rows = np.random.default_rng(0).random((len(prompts), COUNT))
    return [Image.fromarray(render(parse(prompt), row)) for prompt, row in zip(prompts, rows, strict=True)]


def report_where(plan: Plan, clip: ClipScore, steered: Any) -> Any:
    """steered: the prompts that a steering makes of some prompts."""
    return clip_report(lambda prompts, level: drawn(steered(prompts) if level else prompts), plan, clip)


def test_it_counts_what_is_as_prompting_makes_it(plan: Plan, clip: ClipScore) -> None:
    assert plan.sets.for_reporting is not None
    prompts, twins, _ = plan.sets.for_reporting
    half = len(prompts) // 2

    def some(given: Sequence[str]) -> list[str]:
        return [*twins[:half], *given[half:]] if given == prompts else list(given)

    report = report_where(plan, clip, some)
    untouched, prompting, steered = report.unsteered, report.prompting, report.steered
    assert report.told_apart and prompting.done.value >= 0.9 and untouched.done.value <= 0.1
    # The rendered images of the first half are those of prompting, the others are untouched.
    assert abs(steered.done.value - 0.5) <= 0.1 and 0.3 < steered.way < 0.7
    assert (untouched.way, prompting.way) == (pytest.approx(0, abs=1e-4), pytest.approx(1, abs=1e-4))
    assert untouched.like_prompting < steered.like_prompting < prompting.like_prompting
    assert prompting.like_prompting == pytest.approx(1, abs=1e-5)
    assert (report.others_like, report.others_change) == (pytest.approx(1, abs=1e-5), 0)
    assert "steering, strength 1" in report.markdown() and "hardly" not in report.markdown()
    assert report.as_dict()["steered"]["done"]["total"] == len(prompts)


def test_what_clip_does_not_see_is_said(plan: Plan, clip: ClipScore) -> None:
    assert plan.sets.for_reporting is not None
    alike = [prompt.replace(" at night", "") for prompt in plan.sets.for_reporting[0]]

    def draw(prompts: Sequence[str], level: float) -> list[Image.Image]:
        return drawn(alike if len(prompts) == len(alike) else prompts)

    report = clip_report(draw, plan, clip)
    assert not report.told_apart and "hardly tells" in report.markdown()


def test_lists_of_ones_own_have_no_report(clip: ClipScore) -> None:
    own = plan_for("remove", "night", examples=["a", "b"], others=["c", "d"])
    with pytest.raises(ConfigError, match="words, not lists"):
        report_where(own, clip, list)
