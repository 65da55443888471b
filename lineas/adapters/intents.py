"""Remove, add, swap: say what is wanted, and get the steering that does it, at a calibrated strength."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lineas.adapters.devices import best_device
from lineas.adapters.problems import is_image_pipeline, language_model, problem_for
from lineas.adapters.steered_model import SteeredModel
from lineas.apply.hooks import steer
from lineas.errors import ConfigError, MismatchError, SiteError
from lineas.intents.calibration import HELD_OUT_SEED, calibrate
from lineas.intents.clip_way import ClipWay, Judge
from lineas.intents.plan import Plan, plan_for
from lineas.intents.settings import OF_TEXT
from lineas.intents.text_way import Found, Losses, TextWay
from lineas.methods.lineas import trainer
from lineas.prompts.banks import ADD, REMOVE, SWAP, PromptSets, bank_of
from lineas.prompts.concepts import Prompts
from lineas.prompts.words import halves

if TYPE_CHECKING:
    from lineas.adapters.images.recipes import Recipe
    from lineas.fitting.captures import Captures
    from lineas.fitting.problem import Problem
    from lineas.fitting.progress import Callback
    from lineas.methods.lineas.config import TrainConfig
    from lineas.steering.steering import Steering


def remove(obj: Any, concept: str | Plan, **options: Any) -> Steering:
    """A steering that takes a concept out of what a model draws or writes: `remove(pipe, "at night")`.

    obj: a diffusers pipeline, or a language model as `fit` takes it. concept: in words, or a `Plan`.
    options: of the plan, `kind`, `template`, `count`, `seed`, `examples`, `others`, `preserve` (see
    `intents.plan.plan_for`; a language model needs `examples` and `others`, two lists of sentences);
    of the call, `recipe`, `tokenizer`, `progress`, `seconds` as in `fit`, and `clip`; and any option of
    LinEAS, or `sites`, in place of the plan's.
    clip: a `ClipScore`, or the name or folder of an open_clip model. It judges images of held-out prompts at
    four to ten strengths, to calibrate by; None calibrates by the cost on these prompts, and draws nothing.

    Strength 1 of the result is where held-out prompts are served best, and its settings hold the range of
    strengths that is of use (`usable_from`, `usable_to`); of lists of your own what they hold beyond 32,
    up to 48, is held out. The model is left as it was. Raises as `fit` does.
    """
    return _carried_out(obj, REMOVE, concept, None, options)


def add(obj: Any, concept: str | Plan, **options: Any) -> Steering:
    """A steering that puts a concept into what a model makes: `add(pipe, "watercolour")`; as `remove`."""
    return _carried_out(obj, ADD, concept, None, options)


def swap(obj: Any, concept: str | Plan, to: str | None = None, **options: Any) -> Steering:
    """A steering that shows one thing in place of another: `swap(pipe, "a cat", "a dog")`; as `remove`.

    With a language model `examples` show the one and `others` the other.
    """
    return _carried_out(obj, SWAP, concept, to, options)


DRAWN_AT_ONCE = 4
"""Images that are judged: what decodes them takes more memory than a step of a fit."""
Judged = tuple[Prompts, Prompts, Prompts]
"""As `PromptSets.for_judging` gives them."""
PLANNED = ("kind", "template", "count", "seed", "examples", "others", "preserve")
"""Options of an intent that make its plan."""


def plan(obj: Any, intent: str, concept: str, to: str | None = None, **options: Any) -> Plan:
    """What an intent would do with this model, to be read or changed before it is carried out.

    options: those of `remove` that concern the plan and LinEAS. Raises `PromptError` and `ConfigError`.
    """
    is_text = not is_image_pipeline(_unwrapped(obj))
    given: dict[str, Any] = {name: options.pop(name) for name in PLANNED if name in options}
    if not is_text:
        given["bank"] = bank_of(_name(obj))
    return plan_for(intent, concept, to, is_text=is_text, **given).with_settings(**options)


def _carried_out(
    obj: Any, intent: str, concept: str | Plan, to: str | None, options: dict[str, Any]
) -> Steering:
    names = ("recipe", "tokenizer", "progress", "seconds", "clip")
    called = {name: options.pop(name) for name in names if name in options}
    if isinstance(concept, Plan) and concept.intent != intent:
        raise ConfigError(f"The plan is to {concept.intent}, and {intent} was called. Call {concept.intent}.")
    if isinstance(concept, Plan):
        made = concept.with_settings(**options)
    else:
        made = plan(obj, intent, concept, to, **options)
    return carry_out(obj, made, **called)


def carry_out(
    obj: Any,
    plan: Plan,
    *,
    recipe: str | Recipe | None = None,
    tokenizer: Any = None,
    progress: Callback | None = None,
    seconds: float | None = None,
    captures: Captures | None = None,
    clip: str | Path | Judge | None = None,
) -> Steering:
    """The calibrated steering of a plan; arguments as in `fit`. captures: shared with other fits.

    clip: see `remove`. Raises `ConfigError` where there are no images of held-out prompts for it to judge.
    """
    judge = None if clip is None else judge_of(obj, plan.sets.for_judging, clip)
    model: dict[str, Any] = {"recipe": recipe, "tokenizer": tokenizer}
    fitted = partial(_fitted, obj, model=model, captures=captures, progress=progress, seconds=seconds)
    try:
        steering = fitted(plan)
    except (SiteError, MismatchError) as error:
        alone = plan.without_text("The text encoder cannot be steered, so the image model is.")
        if plan.sites not in OF_TEXT or not _runs(obj, alone, model):
            raise
        warnings.warn(f"{error} So the image model alone is steered, which does less.", stacklevel=3)
        plan, steering = alone, fitted(alone)
    return calibrated(obj, plan.sets, plan.config, steering, sites=plan.sites, judge=judge, **model)


def calibrated(
    obj: Any,
    sets: PromptSets,
    config: TrainConfig,
    steering: Steering,
    *,
    sites: str | Sequence[str] | None,
    judge: Judge | None = None,
    recipe: str | Recipe | None = None,
    tokenizer: Any = None,
) -> Steering:
    """The steering with strength 1 where held-out prompts are served best; as it is where there are none.

    Images go by the cost, or by what a judge sees in them; texts by how likely the model finds them.
    """
    held_out, seed = sets.for_calibrating, config.seed + HELD_OUT_SEED
    if held_out is None:
        return steering
    if not is_image_pipeline(_unwrapped(obj)):
        return calibrate(None, config, steering, way_by_texts(obj, sets, steering, tokenizer))
    judged = sets.for_judging
    way = way_by_clip(obj, judged, steering, judge, seed, recipe) if judged and judge else None
    problem = problem_for(obj, *held_out, seed=seed, sites=sites, recipe=recipe, tokenizer=tokenizer)
    return calibrate(problem, config, steering, way)


def _fitted(
    obj: Any,
    plan: Plan,
    *,
    model: dict[str, Any],
    captures: Captures | None,
    progress: Callback | None,
    seconds: float | None,
) -> Steering:
    problem = _problem(obj, plan, model)
    problem.captures = captures
    steering = trainer.fit(problem, plan.config, progress, seconds)
    return replace(steering, provenance=steering.provenance.noted(plan.sets.label))


def _problem(obj: Any, plan: Plan, model: dict[str, Any]) -> Problem:
    sets, seed = plan.sets, plan.config.seed
    groups = (sets.source, sets.target, sets.preserve)
    return problem_for(obj, *groups, seed=seed, contexts=sets.contexts, sites=plan.sites, **model)


def _runs(obj: Any, plan: Plan, model: dict[str, Any]) -> bool:
    """Whether the model runs with this plan's sites at all: else it is not they that failed."""
    try:
        _problem(obj, plan, model).order_sites()
    except (SiteError, MismatchError):
        return False
    return True


def judge_of(obj: Any, judged: Judged | None, clip: str | Path | Judge) -> Judge:
    """The CLIP model that is to judge images of held-out prompts; `ConfigError` where there are none."""
    from lineas.adapters.images.clip_score import ClipScore

    if judged is None or not is_image_pipeline(_unwrapped(obj)):
        raise ConfigError(
            "A CLIP model calibrates by images of held-out prompts, which a concept in words has, and image "
            "models make. Leave clip out for lists of your own, and for texts."
        )
    return ClipScore.load(clip, device=best_device()) if isinstance(clip, str | Path) else clip


def way_by_clip(
    obj: Any,
    judged: Judged,
    steering: Steering,
    judge: Judge,
    seed: int,
    recipe: str | Recipe | None = None,
) -> ClipWay:
    """The way of a steering by images of held-out prompts. seed: of their noise."""
    from lineas.adapters.images.drawing import Drawer

    draw = Drawer(_unwrapped(obj), [steering], recipe=recipe, seed=seed, batch=DRAWN_AT_ONCE)
    return ClipWay(draw, judge, *judged)


def way_by_texts(obj: Any, sets: PromptSets, steering: Steering, tokenizer: Any = None) -> TextWay:
    """The way of a steering by how likely a language model finds the second halves of held-out texts."""
    from lineas.adapters.language.losses import losses_after

    assert sets.for_calibrating is not None
    texts = sets.for_calibrating
    model, tokenizer = language_model(_unwrapped(obj), tokenizer)

    def losses(group: Sequence[str]) -> Losses:
        begun, rest = zip(*map(halves, group), strict=True) if group else ((), ())
        return losses_after(model, tokenizer, begun, rest, chat=False)

    def found(strength: float) -> Found:
        with steer(model, [steering], [strength]):
            source, target, others = map(losses, texts)
            return source, target, others

    return TextWay(found)


def _unwrapped(obj: Any) -> Any:
    return obj.pipe if isinstance(obj, SteeredModel) else obj


def _name(obj: Any) -> str:
    from lineas.adapters.images.recipes import model_name

    return model_name(_unwrapped(obj)) or ""
