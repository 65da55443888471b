"""Train a steering from prompts, or from a concept.

The first Ctrl-C stops and keeps what was learned, with a checkpoint to go on from; the second aborts.
"""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lineas.cli import files, models
from lineas.cli.console import complain, say, speaks
from lineas.cli.fitting import Outcome, fit, load_optimisers, logs
from lineas.cli.method_options import (
    add_method_options,
    add_train_options,
    given_options,
    method_config,
    train_config,
)
from lineas.cli.prompt_sets import add_prompt_options, prompt_sets
from lineas.cli.runs import Run, keep_run, load_run
from lineas.cli.training_plan import plan_of
from lineas.errors import ConfigError, NonFiniteError, plain
from lineas.methods.registry import method_named

if TYPE_CHECKING:
    from lineas.fitting.problem import Problem
    from lineas.intents.clip_way import Judge
    from lineas.methods.registry import Method
    from lineas.steering.steering import Steering


def add_options(parser: argparse.ArgumentParser) -> None:
    add_prompt_options(parser)
    models.add_model_options(parser, default=None)
    models.add_chat_option(parser)
    parser.add_argument(
        "--sites",
        nargs="+",
        metavar="PATTERN",
        help='Where to steer: "norms", "attention", for images also "resnets", "text", "text_feed_forward" '
        'and "norms+text", for language "post_attention" and "mlp"; or patterns of module names such as '
        '"unet.*norm*" (default: the model\'s usual sites).',
    )
    parser.add_argument(
        "--output", metavar="FILE", help="The steering file (default: named after the concept)."
    )
    parser.add_argument("--force", action="store_true", help="Replace the output file.")
    parser.add_argument("--seconds", type=float, metavar="S", help="Time for training; steps are cut to fit.")
    parser.add_argument(
        "--resume", metavar="FILE", help="Go on from a checkpoint, with the options it was made by."
    )
    parser.add_argument(
        "--plan",
        action="store_true",
        help="Show what would be done, and what memory an image model will need, and stop.",
    )
    add_train_options(parser)
    add_method_options(parser)


def run(args: argparse.Namespace) -> Path | None:
    """Train, save, and tell where; of several processes the first one does the latter two."""
    if args.seconds is not None and not args.seconds > 0:
        raise ConfigError(f"--seconds is {args.seconds:g}, expected more than 0.")
    method = method_named(args.method or "lineas")
    if args.resume and not method.resumes:
        raise ConfigError("--resume goes on with LinEAS, the one method that has checkpoints.")
    asked, state = _resumed(args) if args.resume else (_asked(args, method), None)
    if args.plan:
        say(plan_of(asked, method, given_options(args)))
        return None
    # A resumed run may replace the file that its own first part wrote.
    output = files.new_file(asked.output, args.force or (args.resume is not None and args.output is None))
    checkpoint = files.checkpoint_of(output, args.resume, args.force)
    with files.claimed(output) if speaks() else nullcontext():
        train(args, method, replace(asked, output=str(output)), state, checkpoint)
    return output if speaks() else None


def train(
    args: argparse.Namespace, method: Method, asked: Run, state: dict[str, Any] | None, checkpoint: Path
) -> tuple[models.Model, Outcome]:
    """Fit, calibrate and save as asked, with a checkpoint on the way; the model and what the fit gave."""
    output = Path(asked.output)
    if asked.preserve and not method.preserves:
        complain(f"note: the method {method.name} does not use the preserve prompts.")
    say(f"loading {asked.model} …")
    model = models.load(asked.model, asked.task, asked.recipe, asked.dtype, asked.device)
    models.check_chat(model, asked.chat)
    load_optimisers()
    say(f"{method.name} from {len(asked.source)} source and {len(asked.target)} target prompts …")
    # A function given as an option has no name that a file could hold: methods without checkpoints keep it.
    config = method.config(**asked.config) if method.resumes else method_config(args)
    problem = build_problem(model, asked, getattr(config, "seed", 0))
    judge = _judge(model, asked)
    keep = partial(keep_run, asked, path=checkpoint) if speaks() else None
    try:
        with logs(args.log if speaks() else (), output.stem, config.settings()) as log:
            outcome = fit(method, problem, config, args.seconds, state, keep, log)
    except NonFiniteError as error:
        if speaks():
            _keep_last_good(error, output, asked.label)
        raise
    outcome.steering = _calibrated(outcome, model, asked, config, judge)
    if speaks():
        _save(args, outcome, asked, checkpoint)
    return model, outcome


def _save(args: argparse.Namespace, outcome: Outcome, asked: Run, checkpoint: Path) -> None:
    output = Path(asked.output)
    files.save_or_rescue(labelled(outcome.steering, asked.label), output)
    _report(outcome, asked)
    if outcome.stopped and outcome.state is not None and keep_run(asked, outcome.state(), checkpoint):
        command = f"lineas train --resume {shlex.quote(str(checkpoint))}"
        say(f"stopped by {outcome.stopped}; go on with: {command}")
    elif outcome.stopped:
        say(f"stopped by {outcome.stopped}, with what there was")
    elif outcome.checkpointed or (args.resume and checkpoint.resolve() == Path(args.resume).resolve()):
        checkpoint.unlink(missing_ok=True)
    if outcome.steering.sparsity == 1 and not outcome.stopped:
        raise ConfigError(
            f"The steering in {output} changes nothing: no unit is steered. Lower --sparsity if it is given, "
            "or give more prompts or other sites."
        )


def _judge(model: models.Model, asked: Run) -> Judge | None:
    """The CLIP model that calibrates, found before anything is learned; None where none is named."""
    from lineas.adapters.intents import judge_of

    return None if asked.clip is None else judge_of(model.obj, asked.sets.for_judging, asked.clip)


def _calibrated(
    outcome: Outcome, model: models.Model, asked: Run, config: Any, judge: Judge | None
) -> Steering:
    """With strength 1 where held-out prompts are served best, if there are any and nobody asked to stop."""
    steering = outcome.steering
    if not asked.held_out_source or outcome.stopped not in ("", "time") or steering.sparsity == 1:
        return steering
    from lineas.adapters.intents import calibrated

    judged = "the strength" if judge is None else f"by images, judged by {judge.name}"
    say(f"calibrating {judged} …")
    return calibrated(
        model.obj, asked.sets, config, steering,
        sites=_sites(asked), judge=judge, recipe=asked.recipe, tokenizer=model.tokenizer,
    )  # fmt: skip


def _sites(asked: Run) -> str | tuple[str, ...] | None:
    """As `problem_for` takes them: a single one may be the name of a preset."""
    return asked.sites[0] if asked.sites and len(asked.sites) == 1 else asked.sites


def build_problem(model: models.Model, asked: Run, seed: int) -> Problem:
    """What a method is fitted to: the model, its sites and the prompts of a run."""
    from lineas.adapters.problems import problem_for

    return problem_for(
        model.obj,
        asked.source,
        asked.target,
        asked.preserve or None,
        sites=_sites(asked),
        recipe=asked.recipe,
        tokenizer=model.tokenizer,
        seed=seed,
        chat=asked.chat,
        contexts=asked.contexts,
    )


def labelled(steering: Steering, label: str) -> Steering:
    """The steering with a note of what it is for."""
    return replace(steering, provenance=steering.provenance.noted(label)) if label else steering


def cost_change(settings: Mapping[str, Any]) -> str:
    """ "cost 1070 -> 238" from the settings of a trained steering."""
    return f"cost {settings['cost_at_start']:.4g} -> {settings['cost']:.4g}"


def _asked(args: argparse.Namespace, method: Method) -> Run:
    config = train_config(args) if method.resumes else method_config(args)
    return asked_for(args, getattr(config, "seed", 0), asdict(config) if method.resumes else {})


def asked_for(args: argparse.Namespace, seed: int, config: dict[str, Any]) -> Run:
    """What the command line asks for, with its prompts. Raises `PromptError` and `ConfigError`."""
    args.model = args.model or models.BUNDLED[0]
    sets = prompt_sets(args, seed)
    if args.model in models.BUNDLED:
        from lineas.scenes.bundled import warn_of_unknown_words

        warn_of_unknown_words([*sets.source, *sets.target, *sets.preserve])
    return Run(
        model=args.model,
        output=args.output or f"{sets.file_name}.safetensors",
        source=sets.source,
        target=sets.target,
        preserve=sets.preserve,
        label=sets.label,
        config=config,
        task=args.task,
        recipe=args.recipe,
        sites=tuple(args.sites) if args.sites else None,
        dtype=args.dtype,
        device=args.device,
        chat=args.chat,
    )


def _resumed(args: argparse.Namespace) -> tuple[Run, dict[str, Any]]:
    fixed = ("source", "target", "preserve", "concept", "kind", "count", "template", "add", "remove", "model")
    given = [
        name
        for name in (*fixed, "method", "task", "recipe", "sites", "dtype", "preset", "chat")
        if getattr(args, name)
    ]
    if given:
        raise ConfigError(
            f"--resume goes on with the options of the checkpoint; leave out --{given[0].replace('_', '-')}. "
            "Training options, time, device and output may change."
        )
    asked, state = load_run(args.resume)
    config = {**asked.config, **given_options(args)}
    return replace(
        asked, config=config, output=args.output or asked.output, device=args.device or asked.device
    ), state


def _keep_last_good(error: NonFiniteError, output: Path, label: str) -> None:
    if error.steering is not None:
        rest = files.free_name(output.with_name(f"{output.stem}-last-good{output.suffix}"))
        files.save_or_rescue(labelled(error.steering, label), rest)
        say(f"the last good steering is in {rest}")


def _report(outcome: Outcome, asked: Run) -> None:
    steering, made = outcome.steering, outcome.steering.provenance.settings
    if "cost_at_start" in made:
        say(f"{outcome.steps} steps in {outcome.seconds:.0f} s, {cost_change(made)}")
    say(f"{len(steering.maps)} sites, {1 - steering.sparsity:.1%} of their units steered")
    if "usable_from" in made:
        by = f"calibrated by {plain(made['calibrated_by'], 80)}"
        say(f"strengths of use: {made['usable_from']:g} to {made['usable_to']:g}, best at 1; {by}")
    say(f"steering: {asked.output}")
