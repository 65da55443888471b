"""The prompt sets of a training: read from files, or made from a concept."""

from __future__ import annotations

import argparse
from dataclasses import dataclass

from lineas.cli.models import BUNDLED
from lineas.errors import ConfigError, PromptError


@dataclass(frozen=True)
class PromptSets:
    """What is steered from source to target, and what is to stay as it is (may be empty)."""

    source: tuple[str, ...]
    target: tuple[str, ...]
    preserve: tuple[str, ...]
    label: str = ""
    """What the steering does, such as "remove pink elephant"; empty for prompt files."""


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
        "model found out.",
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
    from lineas.prompts.concepts import directed
    from lineas.prompts.files import read_prompts

    _check(args)
    if args.concept is None:
        kept = read_prompts(args.preserve) if args.preserve else ()
        return PromptSets(read_prompts(args.source), read_prompts(args.target), kept)
    make = _scene_sets if args.model == BUNDLED else _worded_sets
    source, target, kept = directed(*make(args, seed), add=args.add)
    if args.preserve:
        kept = read_prompts(args.preserve)
    label = f"{'add' if args.add else 'remove'} {' '.join(args.concept.split())}"
    return PromptSets(source, target, kept, label)


def scene_concept(text: str, kind: str | None = None) -> tuple[str, str]:
    """The concept of the bundled model that a text means: "time:night", "night" or "at night".

    Raises `PromptError` that lists what the model knows.
    """
    from lineas.scenes.naming import named_concept

    return named_concept(text, kind)


Sets = tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]


def _scene_sets(args: argparse.Namespace, seed: int) -> Sets:
    from lineas.scenes.concepts import concept_sets

    if args.template:
        raise ConfigError(f"--template does not go with the {BUNDLED} model, which knows few words.")
    sets = concept_sets(*scene_concept(args.concept, args.kind), count=_count(args), seed=seed)
    return sets.source, sets.target, sets.preserve


def _worded_sets(args: argparse.Namespace, seed: int) -> Sets:
    from lineas.prompts.concepts import concept_prompts

    kind = args.kind or "object"
    sets = concept_prompts(args.concept, kind, count=_count(args), seed=seed, template=args.template)
    return sets.source, sets.target, sets.preserve


def _count(args: argparse.Namespace) -> int:
    count = 32 if args.count is None else args.count
    if count < 2:
        raise PromptError(f"--count is {count}, expected at least 2 prompts per set; 16 to 64 work well.")
    return count


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
