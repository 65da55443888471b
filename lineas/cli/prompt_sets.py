"""The prompt sets of a training: read from files, or made from a concept."""

from __future__ import annotations

import argparse
from dataclasses import replace
from typing import TYPE_CHECKING

from lineas.errors import ConfigError

if TYPE_CHECKING:
    from lineas.prompts.banks import PromptSets


def add_prompt_options(parser: argparse.ArgumentParser) -> None:
    """Add `--source`, `--target`, `--preserve`, or `--concept` and what belongs to it."""
    group = parser.add_argument_group("prompts", "Give two files, or a concept to make prompts from.")
    group.add_argument("--source", metavar="FILE", help="Prompts to steer away from, one per line.")
    group.add_argument("--target", metavar="FILE", help="Prompts to steer towards, one per line.")
    group.add_argument("--preserve", metavar="FILE", help="Prompts that are to stay as they are.")
    group.add_argument("--concept", metavar="TEXT", help='What to remove or add, such as "pink elephant".')
    group.add_argument(
        "--kind",
        metavar="KIND",
        help="What the concept is: object (default), style, attribute or perspective; with the bundled "
        "model found out, and needed where the words name several of its concepts.",
    )
    ways = group.add_mutually_exclusive_group()
    ways.add_argument("--remove", action="store_true", help="Take the concept out (default).")
    ways.add_argument("--add", action="store_true", help="Put the concept in.")
    group.add_argument(
        "--count", type=int, metavar="N", help="Prompts per set made from a concept (default 32)."
    )
    group.add_argument(
        "--template", metavar="TEXT", help='Own words around the concept, such as "covered in {}".'
    )


def prompt_sets(args: argparse.Namespace, seed: int) -> PromptSets:
    """The sets that the options describe. Raises `PromptError` or `ConfigError`."""
    from lineas.prompts import banks
    from lineas.prompts.concepts import COUNT
    from lineas.prompts.files import read_prompts

    _check(args)
    if args.concept is None:
        kept = read_prompts(args.preserve) if args.preserve else ()
        return banks.PromptSets(read_prompts(args.source), read_prompts(args.target), kept)
    made = banks.prompt_sets(
        args.concept,
        args.kind,
        intent=banks.ADD if args.add else banks.REMOVE,
        bank=banks.bank_of(args.model),
        count=COUNT if args.count is None else args.count,
        seed=seed,
        template=args.template,
    )
    if args.preserve:
        return replace(made, preserve=read_prompts(args.preserve))
    return of_preset(made, args)


def of_preset(sets: PromptSets, args: argparse.Namespace) -> PromptSets:
    """The sets as a preset takes them: the paper has no preserve prompts, but for those that are given."""
    is_paper = getattr(args, "preset", None) == "paper" and not args.preserve
    return replace(sets, preserve=()) if is_paper else sets


def _check(args: argparse.Namespace) -> None:
    files = [name for name in ("source", "target") if getattr(args, name)]
    if args.concept is not None and files:
        raise ConfigError(f"Got --concept and --{files[0]}. Give a concept, or prompt files.")
    if args.concept is None and len(files) < 2:
        missing = {"source", "target"} - set(files)
        given = f"--{files[0]} without --{min(missing)}" if files else "no prompts"
        raise ConfigError(f'Got {given}. Give --source and --target files, or --concept "pink elephant".')
    words = {"kind": args.kind, "count": args.count, "template": args.template, "add": args.add,
             "remove": args.remove}  # fmt: skip
    spare = [name for name, value in words.items() if value]
    if args.concept is None and spare:
        raise ConfigError(f"--{spare[0]} belongs to --concept; with prompt files, source is left for target.")
