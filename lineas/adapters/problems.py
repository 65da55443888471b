"""Adapters: fit a steering to a diffusers pipeline or a transformers language model."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from torch import nn

from lineas.adapters.images.loading import load_pipeline
from lineas.adapters.processes import join_processes
from lineas.adapters.steered_model import SteeredModel
from lineas.errors import ConfigError, MismatchError
from lineas.fitting.problem import Problem
from lineas.methods.registry import method_named
from lineas.steering.steering import Steering

if TYPE_CHECKING:
    from lineas.adapters.images.recipes import Recipe
    from lineas.adapters.language.problem import Contexts
    from lineas.fitting.progress import Callback

__all__ = ["fit", "load_pipeline", "problem_for"]


def fit(
    obj: Any,
    source: Sequence[str],
    target: Sequence[str],
    preserve: Sequence[str] | None = None,
    *,
    sites: str | Sequence[str] | None = None,
    method: str = "lineas",
    preset: str = "fast",
    recipe: str | Recipe | None = None,
    progress: Callback | None = None,
    seconds: float | None = None,
    tokenizer: Any = None,
    seed: int = 0,
    max_length: int | None = None,
    chat: bool = False,
    **options: Any,
) -> Steering:
    """A steering that makes source prompts act like target prompts, and leaves preserve prompts as they are.

    obj: a diffusers pipeline, a text-generation pipeline, or a language model with its `tokenizer`.
    source, target, preserve: lists of prompts; unpaired, and of any sizes from 2 (32 work well).
    sites: a preset of the adapter, or patterns of module names; None is the model's usual sites.
    method: a name in `lineas.methods.registry`. preset, options: of the method's options (`TrainConfig` for
    LinEAS), whose fields may be given by name; methods other than LinEAS have one set of defaults.
    max_length: tokens per text, at least 1, for language models; longer texts are cut with a warning. None is
    256. chat: texts are a user's messages, put into the tokenizer's own chat template.
    recipe: how an image pipeline is called, see `recipes.recipe_for`.
    progress: called after each step; returning True stops and keeps what was learned.
    seconds: time for the fit, whose steps are cut to it; None is no limit. seed: of the noise.

    Processes that `accelerate launch` or `torchrun` started share the fit, and each gets the steering of one.

    The model is left as it was. Raises `PromptError`, `SiteError`, `ConfigError` and `MismatchError` before
    anything runs, and `NonFiniteError` with the best steering so far.
    """
    chosen = method_named(method)
    config = chosen.config.preset(preset, seed=seed, **options)
    if preserve and not chosen.preserves:
        warnings.warn(f"The method {chosen.name} does not use preserve prompts.", stacklevel=2)
    problem = problem_for(
        obj,
        source,
        target,
        preserve,
        sites=sites,
        recipe=recipe,
        tokenizer=tokenizer,
        seed=seed,
        max_length=max_length,
        chat=chat,
    )
    return chosen.fit(problem, config, progress, seconds)


def problem_for(
    obj: Any,
    source: Sequence[str],
    target: Sequence[str],
    preserve: Sequence[str] | None = None,
    *,
    sites: str | Sequence[str] | None = None,
    recipe: str | Recipe | None = None,
    tokenizer: Any = None,
    seed: int = 0,
    max_length: int | None = None,
    chat: bool = False,
    contexts: Contexts = (),
) -> Problem:
    """What a method or a `Trainer` needs, for any model that `fit` takes; the arguments are those of `fit`.

    contexts: texts before those of a language model, see `LanguageProblem`.

    Raises `MismatchError` for objects that are neither an image pipeline nor a language model, and
    `ConfigError` for what is of the other kind: a recipe for texts, a max_length or chat for images.
    """
    join_processes()
    obj = obj.pipe if isinstance(obj, SteeredModel) else obj
    groups = (source, target, preserve)
    if is_image_pipeline(obj):
        from lineas.adapters.images.problem import DiffusionProblem

        if max_length is not None:
            raise ConfigError(f"max_length is {max_length}, which is for language models. Leave it out.")
        if chat:
            raise ConfigError("chat is for language models. Leave it out.")
        if any(contexts):
            raise ConfigError("contexts are for language models. Leave them out.")
        return DiffusionProblem(obj, *groups, sites=sites, recipe=recipe, seed=seed)
    model, tokenizer = language_model(obj, tokenizer)
    if recipe is not None:
        raise ConfigError(f"recipe is {recipe!r}, which is for image pipelines. Leave it out.")
    from lineas.adapters.language.problem import LanguageProblem

    limit: dict[str, Any] = {} if max_length is None else {"max_length": max_length}
    return LanguageProblem(
        model, tokenizer, *groups, sites=sites, seed=seed, chat=chat, contexts=contexts, **limit
    )


def is_image_pipeline(obj: Any) -> bool:
    """True for pipelines of diffusers that denoise."""
    parts = getattr(obj, "components", None)
    return (
        callable(obj)
        and isinstance(parts, Mapping)
        and any(isinstance(parts.get(name), nn.Module) for name in ("unet", "transformer"))
    )


def language_model(obj: Any, tokenizer: Any) -> tuple[nn.Module, Any]:
    """Model and tokenizer of (model, tokenizer), a text-generation pipeline, or a model and its tokenizer.

    Raises `MismatchError` for anything else.
    """
    if isinstance(obj, tuple) and len(obj) == 2:
        obj, tokenizer = obj
    elif not isinstance(obj, nn.Module) and isinstance(getattr(obj, "model", None), nn.Module):
        obj, tokenizer = obj.model, tokenizer or obj.tokenizer
    if not isinstance(obj, nn.Module):
        raise MismatchError(
            f"Got {type(obj).__name__}, expected a diffusers pipeline with a unet or a transformer, a "
            "language model of transformers with its tokenizer, or a text-generation pipeline."
        )
    if tokenizer is None:
        raise MismatchError(
            f"{type(obj).__name__} came without a tokenizer. A language model needs tokenizer=…; a UNet "
            "alone cannot be trained, so give the pipeline that it belongs to."
        )
    return obj, tokenizer
