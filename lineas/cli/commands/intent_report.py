"""`--report` of an intent: a table, and a sheet of pictures or some texts, beside the steering."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from lineas.cli import files
from lineas.cli.console import bar, say
from lineas.errors import ConfigError

if TYPE_CHECKING:
    from PIL.Image import Image

    from lineas.cli.models import Model
    from lineas.intents.plan import Plan
    from lineas.steering.steering import Steering

SEED = 1000
"""The noise of measured images is none that the training saw."""
SHOWN = 6
Words = tuple[str, str | None]
"""The concept, and what a swap puts in its place."""
STRENGTHS = (0.0, 0.5, 1.0, 1.5)


def check(model: str, plan: Plan, clip: str | None, is_text: bool) -> None:
    """Raise `ConfigError` where there is nothing to measure an intent by."""
    from lineas.scenes import BUNDLED

    if plan.sets.for_reporting is None and is_text:
        raise ConfigError(
            "--report measures on texts that were not learned from: 32 of each list are, the next 16 "
            "calibrate the strength, and what is beyond is for the report. Give 64 examples and others."
        )
    if plan.sets.for_reporting is None:
        raise ConfigError(
            "--report measures images of held-out prompts, which a concept in words has; lists of your own "
            "have not. Measure those with lineas evaluate."
        )
    if model not in BUNDLED and clip is None and not is_text:
        raise ConfigError(
            f"--report knows what images of the bundled models ({' and '.join(BUNDLED)}) show. For other "
            "models name a CLIP model that judges them: --clip hf-hub:laion/CLIP-ViT-B-32-laion2B-s34B-b79K, "
            "or a folder."
        )


def report(
    model: Model, plan: Plan, concepts: Words, steering: Steering, output: Path, clip: str | None
) -> None:
    """Measure, print the table, and write it beside the steering, with a sheet of pictures where it draws.

    clip: of open_clip, judges in place of the bundled models' detector.
    """
    stem = output.parent / f"{output.stem}-report"
    if model.is_language:
        from lineas.evaluation.language.intent_report import text_report

        say("measuring …")
        of_texts = text_report(model.obj, model.tokenizer, plan, steering, seed=SEED).markdown()
        say(of_texts)
        files.write_text(of_texts + "\n", stem.with_suffix(".md"))
        say(f"report: {stem}.md")
        return
    found, sheet = _drawn(model, plan, concepts, steering, clip)
    say(found)
    files.write_text(found + "\n", stem.with_suffix(".md"))
    say(f"report: {stem}.md, {files.write_image(sheet, stem.with_suffix('.png'))}")


def _drawn(
    model: Model, plan: Plan, concepts: Words, steering: Steering, clip: str | None
) -> tuple[str, Image]:
    """The table of an image model, and the sheet of its pictures."""
    from lineas.adapters.devices import best_device
    from lineas.adapters.images.clip_score import ClipScore
    from lineas.adapters.images.drawing import Drawer
    from lineas.evaluation.images.clip_report import clip_report
    from lineas.evaluation.images.scenes_report import scenes_report
    from lineas.pictures.contact_sheet import strength_sheet

    assert plan.sets.for_reporting is not None
    prompts, twins, others = plan.sets.for_reporting
    judge = None if clip is None else ClipScore.load(clip, device=best_device())
    total = 2 * len(prompts) + len(twins) + 2 * len(others)
    with bar(total, "measuring", "image") as shown:
        draw = Drawer(model.obj, [steering], seed=SEED, batch=16, on_images=shown.update)
        found = scenes_report(draw, plan, *concepts) if judge is None else clip_report(draw, plan, judge)
    columns = [draw(prompts[:SHOWN], strength) for strength in STRENGTHS]
    return found.markdown(), strength_sheet(columns, STRENGTHS, prompts[:SHOWN])
