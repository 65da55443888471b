"""Generate with a model and steerings: images, or text with a language model.

The same seed gives the same noise at every strength, so a sweep shows what the steering alone changes.
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import TYPE_CHECKING

from lineas.cli import files, models
from lineas.cli.arguments import seeds, strengths, weighted_file
from lineas.cli.console import bar, say
from lineas.errors import PromptError

if TYPE_CHECKING:
    from lineas.steering.steering import Steering

SHEET, TEXTS = "sweep.png", "texts.json"


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("prompts", nargs="*", metavar="PROMPT", help="What to generate.")
    parser.add_argument("--prompts", dest="prompt_file", metavar="FILE", help="More prompts, one per line.")
    parser.add_argument(
        "--steering",
        action="append",
        default=[],
        type=weighted_file,
        metavar="FILE[:STRENGTH]",
        help="A steering, such as night.safetensors:0.8; give it again for more, which act in this order.",
    )
    parser.add_argument(
        "--sweep",
        type=strengths,
        metavar="A:B:N",
        help="N strengths from A to B (or a list: 0,0.5,1), each times those above; one labelled picture.",
    )
    parser.add_argument(
        "--seeds", type=seeds, default=(0,), metavar="N,…", help="Seeds of the noise (default 0)."
    )
    parser.add_argument("--output", default="out", metavar="FOLDER", help="Where files go (default: out).")
    parser.add_argument("--force", action="store_true", help="Replace files that are there already.")
    parser.add_argument("--batch", type=int, default=4, metavar="N", help="Images drawn at once (default 4).")
    parser.add_argument(
        "--tokens", type=int, default=40, metavar="N", help="Length of generated text (default 40)."
    )
    parser.add_argument(
        "--where",
        choices=("all", "generated", "last"),
        default="all",
        help="Which tokens of a text are steered: all (default), those that are generated, or the last of "
        "the prompt and those after it.",
    )
    parser.add_argument(
        "--schedule",
        metavar="A:B",
        help="When images are steered, by share of the denoising steps: 0:0.5 is the first half; or factors "
        "from the first step to the last, as 1,0.5,0.",
    )
    models.add_model_options(parser)
    models.add_chat_option(parser)


def run(args: argparse.Namespace) -> Path:
    from lineas.steering.steering import Steering

    prompts = _prompts(args)
    steerings = [Steering.load(path) for path, _ in args.steering]
    output = files.folder(args.output)
    if args.model in models.BUNDLED:
        from lineas.scenes.bundled import warn_of_unknown_words

        warn_of_unknown_words(prompts)
    model = models.load(args.model, args.task, args.recipe, args.dtype, args.device)
    models.check_chat(model, args.chat)
    each = [(prompt, seed) for prompt in prompts for seed in args.seeds]
    files.new_files(output, _names(args, each, model.is_language), args.force)
    make = _texts if model.is_language else _images
    make(args, model, steerings, each, output)
    return output


Each = list[tuple[str, int]]


def _names(args: argparse.Namespace, each: Each, is_language: bool) -> list[str]:
    """The files that will be written."""
    if is_language:
        return [TEXTS]
    return [SHEET] if args.sweep else [_picture(i, prompt, seed) for i, (prompt, seed) in enumerate(each)]


def _picture(i: int, prompt: str, seed: int) -> str:
    return f"{i:03}-{_slug(prompt)}-{seed}.png"


def _images(
    args: argparse.Namespace, model: models.Model, steerings: list[Steering], each: Each, to: Path
) -> None:
    from lineas.adapters.images.drawing import Drawer

    levels = args.sweep or (1.0,)
    weights = [weight for _, weight in args.steering]
    prompts, numbers = [prompt for prompt, _ in each], [seed for _, seed in each]
    with bar(len(each) * len(levels), "drawing", "image") as shown:
        draw = Drawer(
            model.obj,
            steerings,
            weights,
            recipe=args.recipe,
            batch=args.batch,
            on_images=shown.update,
            schedule=args.schedule,
        )
        columns = [draw(prompts, level, numbers) for level in levels]
    if args.sweep:
        from lineas.pictures.contact_sheet import strength_sheet

        labels = [f"{prompt} (seed {seed})" if len(args.seeds) > 1 else prompt for prompt, seed in each]
        sheet = strength_sheet(columns, levels, labels)
        say(f"picture: {files.write_image(sheet, to / SHEET)}")
        return
    for i, (image, (prompt, seed)) in enumerate(zip(columns[0], each, strict=True)):
        say(f"picture: {files.write_image(image, to / _picture(i, prompt, seed))}")


def _texts(
    args: argparse.Namespace, model: models.Model, steerings: list[Steering], each: Each, to: Path
) -> None:
    from lineas.adapters.language.writing import Writer

    levels = args.sweep or (1.0,)
    writer = Writer(
        model.obj,
        model.tokenizer,
        steerings,
        [weight for _, weight in args.steering],
        args.tokens,
        args.where,
        args.chat,
    )
    rows = []
    with bar(len(each) * len(levels), "writing", "text") as shown:
        for prompt, seed in each:
            for level in levels:
                rows.append(
                    {"prompt": prompt, "seed": seed, "strength": level, "text": writer(prompt, level, seed)}
                )
                shown.update()
    for row in rows:
        gap = "\n" if args.chat else ""
        say(f"[λ = {row['strength']:g}] {row['prompt']}{gap}{row['text']}")
    say(f"texts: {files.write_json(rows, to / TEXTS)}")


def _prompts(args: argparse.Namespace) -> list[str]:
    from lineas.prompts.files import parse_prompts

    prompts = [prompt.strip() for prompt in args.prompts if prompt.strip()]
    if args.prompt_file:
        prompts += parse_prompts(files.read_text(args.prompt_file))
    if not prompts:
        raise PromptError(
            'Got no prompt. Write one, such as lineas generate "a cat at night", or use --prompts.'
        )
    return prompts


def _slug(text: str) -> str:
    return re.sub(r"\W+", "-", text.lower()).strip("-")[:48] or "image"
