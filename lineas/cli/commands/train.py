"""Train a steering from prompts, or from a concept.

The first Ctrl-C stops and keeps what was learned, with a checkpoint to go on from; the second aborts.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lineas.cli import files, models
from lineas.cli.console import complain, say
from lineas.cli.fitting import Budget, Outcome, load_optimisers, train
from lineas.cli.method_options import (
    add_method_options,
    add_train_options,
    given_options,
    method_config,
    train_config,
)
from lineas.cli.prompt_sets import add_prompt_options, prompt_sets
from lineas.cli.runs import SUFFIX, Run, load_run, save_run
from lineas.errors import ConfigError, NonFiniteError
from lineas.methods.lineas.config import TrainConfig
from lineas.methods.registry import method_named

if TYPE_CHECKING:
    from lineas.fitting.problem import Problem
    from lineas.methods.lineas.trainer import Trainer
    from lineas.steering.steering import Steering


def add_options(parser: argparse.ArgumentParser) -> None:
    add_prompt_options(parser)
    models.add_model_options(parser, default=None)
    parser.add_argument(
        "--sites",
        nargs="+",
        metavar="PATTERN",
        help='Where to steer: "norms", "attention", for images also "resnets", "text" and "norms+text", for '
        'language "post_attention" and "mlp"; or patterns of module names such as "unet.*norm*" (default: '
        "the model's usual sites).",
    )
    parser.add_argument(
        "--output", metavar="FILE", help="The steering file (default: named after the concept)."
    )
    parser.add_argument("--force", action="store_true", help="Replace the output file.")
    parser.add_argument("--seconds", type=float, metavar="S", help="Time for training; steps are cut to fit.")
    parser.add_argument(
        "--resume", metavar="FILE", help="Go on from a checkpoint, with the options it was made by."
    )
    add_train_options(parser)
    add_method_options(parser)


def run(args: argparse.Namespace) -> None:
    if args.seconds is not None and not args.seconds > 0:
        raise ConfigError(f"--seconds is {args.seconds:g}, expected more than 0.")
    if args.method is not None and method_named(args.method).name != "lineas":
        run_method(args)
        return
    asked, state = _resumed(args) if args.resume else (_asked(args), None)
    # A resumed run may replace the file that its own first part wrote.
    output = files.new_file(asked.output, args.force or (args.resume is not None and args.output is None))
    asked = replace(asked, output=str(output))
    say(f"loading {asked.model} …")
    model = models.load(asked.model, asked.task, asked.recipe, asked.dtype, asked.device)
    load_optimisers()
    budget = Budget(args.seconds)
    say(f"reading {len(asked.source)} source and {len(asked.target)} target prompts …")
    trainer = build_trainer(model, asked)
    if state is not None:
        trainer.load_state(state)
    checkpoint = output.with_suffix(SUFFIX)
    try:
        outcome = train(trainer, budget, lambda: save_run(asked, trainer, checkpoint))
    except NonFiniteError as error:
        _keep_last_good(error, output, asked.label)
        raise
    files.save_or_rescue(labelled(outcome.steering, asked.label), output)
    _report(outcome, trainer, asked)
    if outcome.stopped:
        save_run(asked, trainer, checkpoint)
        say(f"stopped by {outcome.stopped}; go on with: lineas train --resume {checkpoint}")
    elif outcome.checkpointed or (args.resume and checkpoint.resolve() == Path(args.resume).resolve()):
        checkpoint.unlink(missing_ok=True)


def build_trainer(model: models.Model, asked: Run) -> Trainer:
    """A trainer for a run; the target activations are captured here."""
    from lineas.methods.lineas.trainer import Trainer

    config = TrainConfig(**asked.config)
    return Trainer(build_problem(model, asked, config.seed), config)


def build_problem(model: models.Model, asked: Run, seed: int) -> Problem:
    """What a method is fitted to: the model, its sites and the prompts of a run."""
    from lineas.adapters.problems import problem_for

    sites = asked.sites[0] if asked.sites and len(asked.sites) == 1 else asked.sites
    return problem_for(
        model.obj,
        asked.source,
        asked.target,
        asked.preserve or None,
        sites=sites,
        recipe=asked.recipe,
        tokenizer=model.tokenizer,
        seed=seed,
    )


def run_method(args: argparse.Namespace) -> None:
    """Fit by another method than LinEAS: no checkpoints, and Ctrl-C or the time keep what there is."""
    from lineas.cli.fitting import fit_method

    if args.resume:
        raise ConfigError("--resume goes on with LinEAS, the one method that has checkpoints.")
    method, config = method_named(args.method), method_config(args)
    seed = getattr(config, "seed", 0)
    asked = asked_for(args, seed, {})
    output = files.new_file(asked.output, args.force)
    if args.preserve and not method.preserves:
        complain(f"note: the method {method.name} does not use the preserve prompts.")
    say(f"loading {asked.model} …")
    model = models.load(asked.model, asked.task, asked.recipe, asked.dtype, asked.device)
    say(f"{method.name} from {len(asked.source)} source and {len(asked.target)} target prompts …")
    problem = build_problem(model, asked, seed)
    try:
        outcome = fit_method(method, problem, config, Budget(args.seconds))
    except NonFiniteError as error:
        _keep_last_good(error, output, asked.label)
        raise
    files.save_or_rescue(labelled(outcome.steering, asked.label), output)
    if outcome.stopped:
        say(f"stopped by {outcome.stopped}, with what there was")
    steered = 1 - outcome.steering.sparsity
    say(f"{len(outcome.steering.maps)} sites, {steered:.1%} of their units steered")
    say(f"steering: {output}")


def labelled(steering: Steering, label: str) -> Steering:
    """The steering with a note of what it is for."""
    return replace(steering, provenance=steering.provenance.noted(label)) if label else steering


def cost_change(settings: Mapping[str, Any]) -> str:
    """ "cost 1070 -> 238" from the settings of a trained steering."""
    return f"cost {settings['cost_at_start']:.4g} -> {settings['cost']:.4g}"


def _asked(args: argparse.Namespace) -> Run:
    config = train_config(args)
    return asked_for(args, config.seed, asdict(config))


def asked_for(args: argparse.Namespace, seed: int, config: dict[str, Any]) -> Run:
    """What the command line asks for, with its prompts. Raises `PromptError` and `ConfigError`."""
    args.model = args.model or models.BUNDLED
    sets = prompt_sets(args, seed)
    if args.model == models.BUNDLED:
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
    )


def _resumed(args: argparse.Namespace) -> tuple[Run, dict[str, Any]]:
    fixed = ("source", "target", "preserve", "concept", "kind", "count", "template", "add", "remove", "model")
    given = [
        name
        for name in (*fixed, "method", "task", "recipe", "sites", "dtype", "preset")
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
        rest = output.with_name(f"{output.stem}-last-good{output.suffix}")
        files.save_or_rescue(labelled(error.steering, label), rest)
        say(f"the last good steering is in {rest}")


def _report(outcome: Outcome, trainer: Trainer, asked: Run) -> None:
    steering, made = outcome.steering, outcome.steering.provenance.settings
    say(f"{trainer.step_number} steps in {trainer.seconds:.0f} s, {cost_change(made)}")
    say(f"{len(steering.maps)} sites, {1 - steering.sparsity:.1%} of their units steered")
    say(f"steering: {asked.output}")
