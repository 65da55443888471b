"""Write the steering that undoes another one."""

from __future__ import annotations

import argparse
from pathlib import Path

from lineas.cli import files
from lineas.cli.console import say
from lineas.errors import ConfigError


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", help="The steering file to undo.")
    parser.add_argument(
        "--output", metavar="FILE", help="The new file (default: FILE with -inverse in its name)."
    )
    parser.add_argument("--force", action="store_true", help="Replace the output file.")
    parser.add_argument(
        "--min-scale",
        type=float,
        default=0.05,
        metavar="X",
        help="Scales nearer to 0 are taken as this far from it, and counted; raise it when the inverse is "
        "too strong (default 0.05).",
    )


def run(args: argparse.Namespace) -> Path:
    from lineas.steering.hub_names import local_path
    from lineas.steering.steering import Steering

    if not 0 < args.min_scale <= 1:
        raise ConfigError(f"--min-scale is {args.min_scale:g}, expected a number above 0 and up to 1.")
    source = local_path(args.file)
    steering = Steering.load(args.file)
    output = files.new_file(
        args.output or source.with_name(f"{source.stem}-inverse{source.suffix}"), args.force
    )
    inverse = steering.inverse(args.min_scale)
    inverse.save(output)
    say(f"steering: {output} ({inverse.provenance.notes.splitlines()[-1]})")
    return output
