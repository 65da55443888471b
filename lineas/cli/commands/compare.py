"""Write a page that shows a person pairs of images from two steerings, blind, and counts which is preferred.

The page is one HTML file that needs no network. Both images of a pair have the same prompt and noise.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from lineas.cli import files, models
from lineas.cli.arguments import seeds, weighted_file
from lineas.cli.console import bar, say
from lineas.errors import ConfigError


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "files", nargs=2, type=weighted_file, metavar="FILE[:STRENGTH]", help="The two steerings."
    )
    parser.add_argument("--prompts", required=True, metavar="FILE", help="What to draw, one per line.")
    parser.add_argument("--seeds", type=seeds, default=(0,), metavar="N,…", help="Seeds (default 0).")
    parser.add_argument(
        "--names", nargs=2, metavar="NAME", help="What the result calls them (default: file and strength)."
    )
    parser.add_argument("--question", metavar="TEXT", help='Default: "Which image is better?"')
    parser.add_argument("--unsteered", action="store_true", help="Show the unsteered image beside each pair.")
    parser.add_argument("--batch", type=int, default=4, metavar="N", help="Images at once (default 4).")
    parser.add_argument("--output", default="compare.html", metavar="FILE", help="Default: compare.html.")
    parser.add_argument("--force", action="store_true", help="Replace the output file.")
    models.add_model_options(parser)


def run(args: argparse.Namespace) -> Path:
    from lineas.adapters.images.drawing import Drawer
    from lineas.evaluation.images.blind_comparison import QUESTION, comparison_page
    from lineas.prompts.files import read_prompts
    from lineas.steering.files import write_atomically
    from lineas.steering.steering import Steering

    steerings = [Steering.load(path) for path, _ in args.files]
    each = [(prompt, seed) for prompt in read_prompts(args.prompts) for seed in args.seeds]
    prompts, numbers = [prompt for prompt, _ in each], [seed for _, seed in each]
    names = _names(args)
    output = files.new_file(args.output, args.force, ".html")
    model = models.load(args.model, args.task, args.recipe, args.dtype, args.device)
    if model.is_language:
        raise ConfigError(f"{args.model} writes text; compare shows images. Use lineas generate --sweep.")
    with bar(len(each) * (2 + args.unsteered), "drawing", "image") as shown:
        sets = []
        for steering, (_, weight) in zip(steerings, args.files, strict=True):
            draw = Drawer(
                model.obj, [steering], [weight], recipe=args.recipe, batch=args.batch, on_images=shown.update
            )
            sets.append(draw(prompts, 1.0, numbers))
        reference = draw(prompts, 0.0, numbers) if args.unsteered else None
    page = comparison_page(
        prompts, sets[0], sets[1], names, seeds=numbers, reference=reference,
        question=args.question or QUESTION,
    )  # fmt: skip
    write_atomically(output, page.encode())
    say(f"page: {output} ({len(prompts)} pairs; open it in a browser)")
    return output


def _names(args: argparse.Namespace) -> tuple[str, str]:
    if args.names:
        if "neither" in args.names or args.names[0] == args.names[1]:
            raise ConfigError(
                f"--names are {args.names[0]!r} and {args.names[1]!r}, expected two different ones other "
                "than 'neither', which the page counts ties as."
            )
        return args.names[0], args.names[1]
    first, second = (f"{Path(path).stem} at {weight:g}" for path, weight in args.files)
    return first, second
