"""`lineas remove`, `add` and `swap`: words in, a plan told, a calibrated file out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lineas.evaluation.images.intent_report import Wanted, intent_report
from lineas.intents import plan
from lineas.prompts import banks
from lineas.scenes.bundled import CLIP
from lineas.steering.steering import Steering

QUICK = ("--model", "toy", "--steps", 2)
FEW = ("--count", 3)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("remove", "at night"), "remove at night (time)"),
        (("add", "a clock"), "virtual tokens behind the prompt"),
        (("swap", "cat", "horse"), "swap cat for horse (object)"),
        (("remove", "watercolour", "--model", "toy"), "its words are those of pictures"),
    ],
)
def test_a_plan_is_shown_and_nothing_is_written(lineas: Any, toy: Path, words: tuple, told: str) -> None:
    before = sorted(toy.iterdir())
    code, out, err = lineas(*words, "--plan", "--steps", 9)
    assert (code, err) == (0, "") and told in out
    assert "steps                9" in out
    assert sorted(toy.iterdir()) == before


@pytest.mark.parametrize(
    ("words", "name", "kind"),
    [
        (("remove", "at night"), "remove-at-night", "gated"),
        (("add", "a clock", "--report"), "add-a-clock", "virtual"),
        (("swap", "a cat", "a horse", "--report", "--clip", CLIP), "swap-a-cat-for-a-horse", "gated"),
    ],
)
@pytest.mark.filterwarnings("ignore:On prompts that it was not fitted to")
@pytest.mark.filterwarnings("ignore:clip hardly tells")
def test_each_intent_writes_a_calibrated_file(
    lineas: Any, toy: Path, monkeypatch: pytest.MonkeyPatch, words: tuple, name: str, kind: str
) -> None:
    monkeypatch.setattr(banks, "CALIBRATING", 2)
    monkeypatch.setattr(plan, "HELD_OUT", 4)
    code, out, _ = lineas(*words, "--steps", 1, "--count", 2)
    told = "calibrating by images, judged by clip" if "--clip" in words else "calibrating the strength"
    assert code == 0 and told in out
    steering = Steering.load(f"{name}.safetensors")
    assert {map.kind for map in steering.maps.values()} == {kind}
    assert all(str(site).startswith("text_encoder") for site in steering.maps)
    assert steering.provenance.notes.startswith(name.replace("-", " "))
    if "--report" in words:
        assert "prompting (the oracle)" in out and (toy / f"{name}-report.png").is_file()
        assert "steering, strength 1" in (toy / f"{name}-report.md").read_text()


def test_the_presets_of_the_paper_bring_no_preserve_prompts(lineas: Any, toy: Path) -> None:
    plans = [lineas("remove", "a cat", "--plan", *more)[1] for more in ((), ("--preset", "paper"))]
    assert "  preserve   0" not in plans[0] and "  preserve   0" in plans[1]


def test_language_needs_examples_and_takes_them(lineas: Any, toy: Path) -> None:
    (toy / "rude.txt").write_text("you fool\nshut up\n")
    (toy / "kind.txt").write_text("dear friend\nplease sit\n")
    words = ("remove", "rudeness", "--task", "text", "--plan", "--model", "any")
    code, _, err = lineas(*words)
    assert code == 2 and "both lists are needed" in err
    code, out, err = lineas(*words, "--examples", "rude.txt", "--others", "kind.txt")
    assert (code, err) == (0, "") and "you fool" in out


def test_a_report_is_refused_where_nothing_can_be_measured(lineas: Any, toy: Path) -> None:
    own = ("--examples", "some.txt", "--others", "some.txt")
    for words, said in (
        ((*FEW, "--report"), "name a CLIP model"),
        ((*FEW, *own), "count=3 is for prompts that an intent writes"),
        (("--clip", CLIP, *own), "--clip judges images of held-out"),
        (("--report", "--clip", CLIP, *own), "lists of your own"),
    ):
        (toy / "some.txt").write_text("a cat\na dog\n")
        code, _, err = lineas("add", "a clock", *QUICK, *words)
        assert code == 2 and said in err and not list(toy.glob("*.safetensors"))


def test_a_report_counts_what_is_wanted_and_what_is_lost() -> None:
    shown = {
        ("a clock", 0.0): {"clock"},
        ("a clock and a cat", 0.0): {"clock", "cat"},
        ("", 0.0): set(),
        ("a cat", 0.0): {"cat"},
        ("a clock", 1.0): set(),
        ("a clock and a cat", 1.0): {"clock"},
        ("a dog", 0.0): {"dog"},
        ("a dog", 1.0): {"cat"},
    }
    image = pytest.importorskip("PIL.Image").new("RGB", (4, 4))

    def draw(prompts: Any, strength: float) -> list[Any]:
        images = []
        for prompt in prompts:
            drawn = image.copy()
            drawn.info["things"] = shown[prompt, strength]
            images.append(drawn)
        return images

    report = intent_report(
        draw,
        lambda images: [each.info["things"] for each in images],
        Wanted(gone="clock"),
        "remove clock",
        ["a clock", "a clock and a cat"],
        ["", "a cat"],
        ["a dog"],
        named=lambda prompt: {word for word in prompt.split() if word in ("clock", "cat", "dog")},
    )
    assert (report.unsteered.done.hits, report.prompting.done.hits, report.steered.done.hits) == (0, 2, 1)
    assert (report.prompting.all_kept.hits, report.steered.all_kept.hits) == (2, 1)
    assert (report.steered.rest_kept.hits, report.steered.rest_kept.total) == (0, 1)
    assert (report.others_kept.hits, report.others_kept.total) == (0, 1)
    assert "remove clock" in report.markdown() and report.as_dict()["others_change"] == 0
