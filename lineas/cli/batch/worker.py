"""The worker of a batch: one job after another, with the model and the captures of the last one at hand."""

from __future__ import annotations

import io
import tempfile
import time
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lineas.cli import models
from lineas.cli.batch.manifest import PLANNED, Job
from lineas.errors import LineasError
from lineas.prompts.words import halves

if TYPE_CHECKING:
    from lineas.adapters.images.clip_score import ClipScore
    from lineas.fitting.captures import Captures
    from lineas.intents.plan import Plan
    from lineas.steering.steering import Steering

FIGURES = ("cost_at_start", "cost", "steps_done", "usable_from", "usable_to")
SHOWN, TOKENS = 4, 24
"""Prompts in a picture; length of texts."""
NOTHING = (
    'Nothing was measured: images of models that are not bundled are judged by clip = "…" in a manifest, and '
    "texts by what lists hold beyond 48."
)


@dataclass(frozen=True)
class Result:
    """What became of a job. figures: by name. seconds: of the fit, calibration in it. steering, picture: the
    files, as bytes. error: "" where it went well."""

    job: Job
    figures: Mapping[str, float] = field(default_factory=dict)
    seconds: float = 0.0
    steering: bytes = b""
    picture: bytes = b""
    texts: tuple[tuple[str, str, str], ...] = ()
    notes: tuple[str, ...] = ()
    error: str = ""
    attempts: int = 1


class Worker:
    """Does jobs. Models are loaded, and rows of their untouched selves captured, once while they follow."""

    def __init__(self) -> None:
        self._at_hand: tuple[tuple[Any, ...], models.Model, Captures] | None = None
        self._judges: dict[str, ClipScore] = {}

    def attempt(self, job: Job, retries: int = 0) -> Result:
        """The result, or the error as text; what may pass is tried again, what is refused is not."""
        for number in range(1, retries + 2):
            try:
                return self(job, number)
            except LineasError as error:
                return Result(job, error=str(error), attempts=number)
            except Exception as error:
                self._at_hand = None  # what it left of the model is not known
                failed = Result(job, error=f"{type(error).__name__}: {error}", attempts=number)
        return failed

    def __call__(self, job: Job, attempt: int = 1) -> Result:
        """Fit, calibrate, measure and draw. Raises what these raise."""
        from lineas.adapters.intents import carry_out

        model, captures = self._model(job)
        plan, seconds = planned(job, model)
        judge = self._judge(job) if plan.sets.for_judging and not model.is_language else None
        began = time.monotonic()
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            steering = carry_out(
                (model.obj, model.tokenizer) if model.is_language else model.obj,
                plan,
                recipe=job.loading.get("recipe"),
                seconds=seconds,
                captures=captures,
                clip=judge,
            )
        taken, made = time.monotonic() - began, steering.provenance.settings
        figures = {name: float(made[name]) for name in FIGURES if name in made}  # type: ignore[arg-type]
        figures["sparsity"] = steering.sparsity
        notes = [str(each.message) for each in told if each.category is UserWarning]
        if job.report:
            measured = _reported(job, model, plan, steering, judge)
            figures |= measured
            notes += [] if measured else [NOTHING]
        return Result(
            job,
            figures,
            round(taken, 2),
            _file(steering),
            b"" if model.is_language else _picture(job, model, plan, steering),
            _texts(model, plan, steering) if model.is_language else (),
            tuple(dict.fromkeys(notes)),
            attempts=attempt,
        )

    def _judge(self, job: Job) -> ClipScore | None:
        from lineas.adapters.devices import best_device
        from lineas.adapters.images.clip_score import ClipScore

        if job.clip and job.clip not in self._judges:
            self._judges = {job.clip: ClipScore.load(job.clip, device=best_device())}
        return self._judges[job.clip] if job.clip else None

    def _model(self, job: Job) -> tuple[models.Model, Captures]:
        from lineas.fitting.captures import Captures

        asked = (job.model, *sorted(job.loading.items()))
        if self._at_hand is None or self._at_hand[0] != asked:
            self._at_hand = None  # the memory of the last one is needed
            self._at_hand = (asked, models.load(job.model, **job.loading), Captures())
        return self._at_hand[1:]


def planned(job: Job, model: models.Model) -> tuple[Plan, float | None]:
    """The plan of a job, and the time that it has. Raises `PromptError` and `ConfigError`."""
    from lineas.adapters.intents import plan

    options = dict(job.options)
    seconds = options.pop("seconds", None)
    given = {name: options.pop(name) for name in PLANNED if name in options}
    return plan(model.obj, job.intent, job.concept, job.to, **given, **options), seconds


def _file(steering: Steering) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "steering.safetensors"
        steering.save(path)
        return path.read_bytes()


def _prompts(plan: Plan) -> list[str]:
    held_out = plan.sets.for_reporting or plan.sets.for_calibrating
    return list((held_out[0] if held_out else plan.sets.source)[:SHOWN])


def _picture(job: Job, model: models.Model, plan: Plan, steering: Steering) -> bytes:
    """A sheet of prompts without the steering and with it."""
    from lineas.adapters.images.drawing import Drawer
    from lineas.pictures.contact_sheet import strength_sheet

    prompts, strengths, buffer = _prompts(plan), (0.0, 1.0), io.BytesIO()
    draw = Drawer(model.obj, [steering], recipe=job.loading.get("recipe"), batch=SHOWN)
    columns = [draw(prompts, strength) for strength in strengths]
    strength_sheet(columns, strengths, prompts).save(buffer, "PNG")
    return buffer.getvalue()


def _texts(model: models.Model, plan: Plan, steering: Steering) -> tuple[tuple[str, str, str], ...]:
    """Beginnings, and how they go on without the steering and with it."""
    from lineas.adapters.language.writing import Writer

    write = Writer(model.obj, model.tokenizer, [steering], [1.0], TOKENS, "all")
    begun = [halves(text)[0] for text in _prompts(plan)]
    return tuple((text, write(text, 0.0, 0), write(text, 1.0, 0)) for text in begun)


def _reported(
    job: Job, model: models.Model, plan: Plan, steering: Steering, judge: ClipScore | None
) -> dict[str, float]:
    """What is measured on held-out prompts, by name; nothing where none are held out or nothing judges."""
    if plan.sets.for_reporting is None:
        return {}
    from lineas.cli.commands.intent_report import SEED

    if model.is_language:
        from lineas.evaluation.language.intent_report import text_report

        return text_report(model.obj, model.tokenizer, plan, steering, SEED).figures()
    from lineas.adapters.images.drawing import Drawer

    draw = Drawer(model.obj, [steering], recipe=job.loading.get("recipe"), seed=SEED, batch=16)
    if judge is not None:
        from lineas.evaluation.images.clip_report import clip_report

        return clip_report(draw, plan, judge).figures()
    if job.model not in models.BUNDLED:
        return {}
    from lineas.evaluation.images.scenes_report import scenes_report

    return scenes_report(draw, plan, job.concept, job.to).figures()
