"""Remove, add, swap: say what is wanted, and get the steering that does it, at a calibrated strength."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from lineas.adapters.problems import is_image_pipeline, problem_for
from lineas.adapters.steered_model import SteeredModel
from lineas.errors import ConfigError
from lineas.intents.calibration import HELD_OUT_SEED, calibrate
from lineas.intents.plan import Plan, plan_for
from lineas.methods.lineas import trainer
from lineas.prompts.banks import ADD, REMOVE, SWAP, bank_of

if TYPE_CHECKING:
    from lineas.adapters.images.recipes import Recipe
    from lineas.fitting.captures import Captures
    from lineas.fitting.progress import Callback
    from lineas.steering.steering import Steering


def remove(obj: Any, concept: str | Plan, **options: Any) -> Steering:
    """A steering that takes a concept out of what a model draws or writes: `remove(pipe, "at night")`.

    obj: a diffusers pipeline, or a language model as `fit` takes it. concept: in words, or a `Plan`.
    options: of the plan, `kind`, `template`, `count`, `seed`, `examples`, `others`, `preserve` (see
    `intents.plan.plan_for`; a language model needs `examples` and `others`, two lists of sentences);
    of the call, `recipe`, `tokenizer`, `progress`, `seconds` as in `fit`; and any option of LinEAS, or
    `sites`, in place of the plan's.

    Strength 1 of the result is where held-out prompts are served best, and its settings hold the range of
    strengths that is of use (`usable_from`, `usable_to`). The model is left as it was. Raises as `fit` does.
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


PLANNED = ("kind", "template", "count", "seed", "examples", "others", "preserve")
"""Options of an intent that make its plan."""


def plan(obj: Any, intent: str, concept: str, to: str | None = None, **options: Any) -> Plan:
    """What an intent would do with this model, to be read or changed before it is carried out.

    options: those of `remove` that concern the plan and LinEAS. Raises `PromptError` and `ConfigError`.
    """
    is_text = not is_image_pipeline(obj.pipe if isinstance(obj, SteeredModel) else obj)
    given: dict[str, Any] = {name: options.pop(name) for name in PLANNED if name in options}
    if not is_text:
        given["bank"] = bank_of(_name(obj))
    return plan_for(intent, concept, to, is_text=is_text, **given).with_settings(**options)


def _carried_out(
    obj: Any, intent: str, concept: str | Plan, to: str | None, options: dict[str, Any]
) -> Steering:
    names = ("recipe", "tokenizer", "progress", "seconds")
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
) -> Steering:
    """The calibrated steering of a plan; arguments as in `fit`. captures: shared with other fits."""
    sets, config = plan.sets, plan.config
    model: dict[str, Any] = {"recipe": recipe, "tokenizer": tokenizer, "sites": plan.sites}
    problem = problem_for(obj, sets.source, sets.target, sets.preserve, seed=config.seed, **model)
    problem.captures = captures
    steering = trainer.fit(problem, config, progress, seconds)
    steering = replace(steering, provenance=steering.provenance.noted(sets.label))
    others = sets.for_calibrating
    if others is None:
        return steering
    seed = config.seed + HELD_OUT_SEED
    return calibrate(problem_for(obj, *others, seed=seed, **model), config, steering)


def _name(obj: Any) -> str:
    from lineas.adapters.images.recipes import model_name

    return model_name(obj.pipe if isinstance(obj, SteeredModel) else obj) or ""
