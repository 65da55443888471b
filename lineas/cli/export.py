"""Write a steering as a stock LoRA file, whose strength in other programs is the strength of the steering."""

from __future__ import annotations

import argparse
from pathlib import Path

from lineas.cli import files, models
from lineas.cli.console import say
from lineas.cli.values import strength


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", help="The steering file.")
    models.add_model_options(parser)
    parser.add_argument(
        "--output", metavar="FILE", help="The LoRA file (default: FILE with -lora in its name)."
    )
    parser.add_argument("--force", action="store_true", help="Replace the output file.")
    parser.add_argument(
        "--strength", type=strength, default=1.0, metavar="X", help="What strength 1 will mean (default 1)."
    )
    parser.add_argument(
        "--file-dtype",
        choices=("float16", "float32"),
        default="float16",
        help="Precision of the file (default float16, what loaders compute in; float32 is exact).",
    )
    parser.add_argument(
        "--skip-unsupported", action="store_true", help="Leave out sites that the format cannot hold."
    )
    parser.add_argument("--title", default="", metavar="TEXT", help="Shown by LoRA managers.")


def run(args: argparse.Namespace) -> None:
    from lineas.export import save_lora
    from lineas.sites import module_tree
    from lineas.steering import Steering

    source = Path(args.file)
    steering = Steering.load(source)
    output = files.new_file(args.output or source.with_name(f"{source.stem}-lora{source.suffix}"), args.force)
    model = models.load(args.model, args.task, args.recipe, args.dtype, args.device)
    left_out = save_lora(
        steering,
        module_tree(model.obj),
        output,
        args.strength,
        skip_unsupported=args.skip_unsupported,
        dtype=args.file_dtype,
        title=args.title,
    )
    say(f"LoRA file: {output} ({len(steering.maps) - len(left_out)} of {len(steering.maps)} sites)")
    for site, reason in left_out.items():
        say(f"  left out: {site}: {reason}")
