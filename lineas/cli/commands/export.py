"""Write a steering in a format that other programs read.

lora: a LoRA file for image models in ComfyUI, whose strength there is the strength of the steering.
peft: a LoRA of PEFT for load_lora_weights of diffusers, of steerings after linear layers and convolutions;
it is exact, and its rank is the number of units that are scaled.
gguf: a control vector for llama.cpp, for steerings that only shift the stream of a language model.
hotwire, vllm-lens: the same for these plugins of vLLM. easysteer: its linear form, for maps of blocks.
checkpoint: the language model or image pipeline with the steering in its weights, for stock classes.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from lineas.cli import files, models
from lineas.cli.arguments import strength
from lineas.cli.console import say

if TYPE_CHECKING:
    from lineas.steering.steering import Steering

SUFFIXES = {
    "lora": "-lora.safetensors",
    "peft": "-peft.safetensors",
    "gguf": ".gguf",
    "hotwire": ".pt",
    "vllm-lens": ".vllm-lens.json",
    "easysteer": "-easysteer",
    "checkpoint": "-checkpoint",
}
FOLDERS = ("checkpoint", "easysteer")


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", help="The steering file.")
    models.add_model_options(parser)
    parser.add_argument("--format", choices=tuple(SUFFIXES), default="lora", help="See above (default lora).")
    parser.add_argument(
        "--output",
        metavar="FILE",
        help="The file, or the folder of checkpoint and easysteer (default: named after FILE).",
    )
    parser.add_argument("--force", action="store_true", help="Replace what is there.")
    parser.add_argument(
        "--strength", type=strength, default=1.0, metavar="X", help="What strength 1 will mean (default 1)."
    )
    parser.add_argument(
        "--file-dtype",
        choices=("float16", "float32"),
        default="float16",
        help="Precision of a LoRA file (default float16, what loaders compute in; float32 is exact).",
    )
    parser.add_argument(
        "--skip-unsupported", action="store_true", help="Leave out sites that a LoRA file cannot hold."
    )
    parser.add_argument("--title", default="", metavar="TEXT", help="Shown by LoRA managers.")


def run(args: argparse.Namespace) -> Path:
    from lineas.steering.hub_names import local_path
    from lineas.steering.steering import Steering

    source = local_path(args.file)
    steering = Steering.load(args.file)
    output = args.output or source.with_name(f"{source.stem}{SUFFIXES[args.format]}")
    output = _folder(output, args.force) if args.format in FOLDERS else files.new_file(output, args.force)
    model = models.load(args.model, args.task, args.recipe, args.dtype, args.device)
    write = {"lora": _lora, "peft": _lora, "gguf": _gguf, "checkpoint": _checkpoint, "easysteer": _easysteer}
    write.get(args.format, _served)(args, steering, model, output)
    return output


def _lora(args: argparse.Namespace, steering: Steering, model: models.Model, output: Path) -> None:
    from lineas.export.lora import save_lora
    from lineas.export.peft import save_peft
    from lineas.modules.names import module_tree

    left_out = (save_peft if args.format == "peft" else save_lora)(
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


def _gguf(args: argparse.Namespace, steering: Steering, model: models.Model, output: Path) -> None:
    from lineas.export.control_vector import save_control_vector

    blocks = save_control_vector(steering, model.obj, output, args.strength)
    say(f"control vector: {output} ({len(blocks)} blocks, {blocks[0]} to {blocks[-1]})")
    say(f"use it with: llama-cli --control-vector {output} …")


def _served(args: argparse.Namespace, steering: Steering, model: models.Model, output: Path) -> None:
    from lineas.export.served_vectors import save_hotwire, save_vllm_lens

    if args.format == "vllm-lens":
        blocks = save_vllm_lens(steering, model.obj, output, args.strength)
        say(f"steering vector: {output} ({len(blocks)} blocks, {blocks[0]} to {blocks[-1]})")
        return
    blocks, request = save_hotwire(steering, model.obj, output, args.strength)
    say(f"vectors: {output} ({len(blocks)} blocks, {blocks[0]} to {blocks[-1]})")
    say(f"what a request says: {request}")
    if len(blocks) > 16:
        say(f"start the server with HOTWIRE_SLOTS={len(blocks)} or more")


def _easysteer(args: argparse.Namespace, steering: Steering, model: models.Model, output: Path) -> None:
    from lineas.export.easysteer import save_easysteer

    written = save_easysteer(steering, model.obj, output, args.strength)
    say(f"linear forms: {output} ({len(written)} blocks; strength {args.strength:g} is in them)")


def _checkpoint(args: argparse.Namespace, steering: Steering, model: models.Model, output: Path) -> None:
    from lineas.adapters.steered_model import SteeredModel

    with SteeredModel(model.obj) as steered:
        steered.load_steering(steering, "exported", args.strength)
        steered.save_pretrained(output)
    if model.tokenizer is not None:
        model.tokenizer.save_pretrained(output)
    say(f"checkpoint: {output} (strength {args.strength:g} in the weights)")


def _folder(path: str | Path, force: bool) -> Path:
    """A folder for a checkpoint, which holds nothing yet unless it may be replaced."""
    from lineas.errors import SteeringFileError

    path = files.folder(path)
    if any(path.iterdir()) and not force:
        raise SteeringFileError(
            f"{path} is not empty. Choose another --output, or write into it with --force."
        )
    return path
