"""Say what is wanted, in words, and get the steering that does it: remove, add or swap a concept.

A plan is made from the words: prompts, sites and settings. `--plan` shows it and stops; every option changes
a part of it. Strength 1 of the file is where prompts that it was not fitted to are served best.
"""

from __future__ import annotations

import argparse
from contextlib import nullcontext
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lineas.cli import files, models
from lineas.cli.commands.train import train
from lineas.cli.console import say, speaks
from lineas.cli.method_options import add_train_options, given_options
from lineas.cli.prompt_sets import of_preset
from lineas.cli.runs import Run
from lineas.errors import ConfigError
from lineas.methods.registry import method_named

if TYPE_CHECKING:
    from lineas.intents.plan import Plan


def add_options(parser: argparse.ArgumentParser) -> None:
    intent = parser.get_default("command")
    parser.add_argument("concept", metavar="CONCEPT", help='What it is about, such as "at night" or "a cat".')
    if intent == "swap":
        parser.add_argument("to", metavar="TO", help='What takes its place, such as "a dog".')
    group = parser.add_argument_group("plan")
    group.add_argument("--plan", action="store_true", help="Show what would be done and why, and stop.")
    group.add_argument(
        "--kind",
        metavar="KIND",
        help="What the concept is: object, style, attribute, place or perspective (default: guessed).",
    )
    group.add_argument("--count", type=int, metavar="N", help="Prompts per set (default 32).")
    group.add_argument(
        "--template",
        metavar="TEXT",
        help='Own words around it, such as "covered in {}"; for texts a sentence: "A story about {}."',
    )
    group.add_argument(
        "--examples", metavar="FILE", help="Texts that show the concept, one per line; for language models."
    )
    group.add_argument(
        "--others", metavar="FILE", help="Texts that do not, or that show what a swap puts there; likewise."
    )
    group.add_argument("--preserve", metavar="FILE", help="Prompts that are to stay as they are.")
    models.add_model_options(parser)
    parser.add_argument(
        "--sites", nargs="+", metavar="PATTERN", help="Where activations are compared (default: the plan's)."
    )
    parser.add_argument(
        "--output", metavar="FILE", help="The steering file (default: named after the intent)."
    )
    parser.add_argument("--force", action="store_true", help="Replace the output file.")
    parser.add_argument("--seconds", type=float, metavar="S", help="Time for training; steps are cut to fit.")
    parser.set_defaults(resume=None)
    parser.add_argument("--report", action="store_true", help="Measure what it does, beside prompting.")
    parser.add_argument(
        "--clip",
        metavar="NAME",
        help="An open_clip model by name or folder that judges images, of a few strengths to calibrate by "
        "(default: the cost, which draws none) and for --report.",
    )
    add_train_options(parser)


def run(args: argparse.Namespace) -> Path | None:
    if args.seconds is not None and not args.seconds > 0:
        raise ConfigError(f"--seconds is {args.seconds:g}, expected more than 0.")
    is_text = _is_text(args)
    plan = planned(args, is_text)
    say(plan.text())
    if args.plan:
        return None
    if args.clip and (is_text or plan.sets.for_judging is None):
        raise ConfigError(
            "--clip judges images of held-out prompts, which a concept in words has; lists of your own, and "
            "texts, have not. Leave it out."
        )
    if args.report:
        from lineas.cli.commands.intent_report import check

        check(args.model, plan, args.clip, is_text)
    output = files.new_file(args.output or f"{plan.sets.file_name}.safetensors", args.force)
    if args.report:
        ends = ("md",) if is_text else ("md", "png")
        files.new_files(output.parent, [f"{output.stem}-report.{end}" for end in ends], args.force)
    checkpoint = files.checkpoint_of(output, None, args.force)
    with files.claimed(output) if speaks() else nullcontext():
        asked = _asked(args, plan, str(output))
        model, outcome = train(args, method_named("lineas"), asked, None, checkpoint)
    if args.report and speaks():
        from lineas.cli.commands.intent_report import report

        words = (args.concept, getattr(args, "to", None))
        report(model, plan, words, outcome.steering, output, args.clip)
    return output if speaks() else None


def _is_text(args: argparse.Namespace) -> bool:
    task = args.task if args.task in ("image", "text") else None
    if task is None:
        task = "image" if args.model in models.BUNDLED else models.find_task(args.model)
    return task == "text"


def planned(args: argparse.Namespace, is_text: bool) -> Plan:
    """The plan that the words and options ask for. Raises `PromptError` and `ConfigError`."""
    from lineas.intents.plan import plan_for
    from lineas.prompts.banks import bank_of
    from lineas.prompts.files import read_prompts

    config = {**_preset(args), **given_options(args)}
    texts: dict[str, Any] = {
        name: read_prompts(getattr(args, name))
        for name in ("examples", "others", "preserve")
        if getattr(args, name)
    }
    plan = plan_for(
        args.command,
        args.concept,
        getattr(args, "to", None),
        args.kind,
        bank=bank_of(args.model),
        count=args.count,
        seed=config.get("seed", 0),
        template=args.template,
        is_text=is_text,
        **texts,
    )
    plan = replace(plan, sets=of_preset(plan.sets, args))
    return plan.with_settings(**config, sites=" ".join(args.sites) if args.sites else None)


def _preset(args: argparse.Namespace) -> dict[str, Any]:
    from lineas.methods.lineas.config import TrainConfig

    return dict(TrainConfig.presets[args.preset]) if args.preset else {}


def _asked(args: argparse.Namespace, plan: Plan, output: str) -> Run:
    sets, sites = plan.sets, plan.sites
    held_out, judged = (each or ((), (), ()) for each in (sets.for_calibrating, sets.for_judging))
    return Run(
        model=args.model,
        output=output,
        source=sets.source,
        target=sets.target,
        preserve=sets.preserve,
        contexts=sets.contexts,
        label=sets.label,
        config=asdict(plan.config),
        task=args.task,
        recipe=args.recipe,
        sites=tuple(sites.split()) if sites else None,
        dtype=args.dtype,
        device=args.device,
        held_out_source=held_out[0],
        held_out_target=held_out[1],
        held_out_preserve=held_out[2],
        held_out_twins=judged[1],
        clip=args.clip,
    )
