"""List the image models that are known: where each is steered, and the recipes by name."""

from __future__ import annotations

import argparse

from lineas.cli.console import say


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--sites", action="store_true", help="List the sites of each model.")


def run(args: argparse.Namespace) -> None:
    from lineas.architectures.recipe_table import ALIASES, RECIPES
    from lineas.architectures.table import ARCHITECTURES

    say("models (guidance: from where the model also runs without the prompt)")
    place = max(len(each.name) for each in ARCHITECTURES)
    for each in ARCHITECTURES:
        say(f"  {each.name:{place}}  {', '.join((f'guidance {each.guidance}', *each.classes))}")
        if args.sites:
            say("\n".join(f"      {pattern}" for pattern in each.norms))
    say("recipes (--recipe)")
    place = max(map(len, RECIPES))
    for name, recipe in RECIPES.items():
        say(f"  {name:{place}}  {recipe.note}")
    say(
        "also lcm:N, multistep:N and multistep:N:GUIDANCE; "
        + ", ".join(f"{a} = {b}" for a, b in ALIASES.items())
    )
