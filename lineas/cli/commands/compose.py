"""Combine several steerings into one file.

In sequence, each acts on what those before it made; as a sum, their order does not matter.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from lineas.cli import files
from lineas.cli.arguments import weighted_file
from lineas.cli.console import say
from lineas.errors import ConfigError


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "files", nargs="+", type=weighted_file, metavar="FILE[:STRENGTH]", help="Two or more, in their order."
    )
    parser.add_argument("--mode", choices=("sequence", "sum"), default="sequence", help="Default: sequence.")
    parser.add_argument("--output", required=True, metavar="FILE", help="The new steering file.")
    parser.add_argument("--force", action="store_true", help="Replace the output file.")


def run(args: argparse.Namespace) -> Path:
    from lineas.steering.steering import Steering

    if len(args.files) < 2:
        raise ConfigError("Got one steering, expected two or more to combine.")
    steerings = [(Steering.load(path), strength) for path, strength in args.files]
    output = files.new_file(args.output, args.force)
    (whole, first), *rest = steerings
    for following, strength in rest:
        whole = whole.compose(following, mode=args.mode, weights=(first, strength))
        first = 1.0  # already at its strength
    whole.save(output)
    say(f"steering: {output} ({len(steerings)} in {args.mode}, {len(whole.maps)} sites)")
    return output
