"""What the bundled models can do: concepts found in images of new prompts, and sheets to look at.

    python -m benchmarks.images.bundled_model

writes the sheets in docs/images, docs/bundled_model.md and the figures that are shipped with the weights.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from benchmarks.report import machine, table
from lineas.adapters.images.drawing import Drawer
from lineas.evaluation.rates import Rate
from lineas.pictures.contact_sheet import contact_sheet
from lineas.scenes import BUNDLED
from lineas.scenes.bundled import WEIGHTS, accuracies, load_pipeline
from lineas.scenes.detector import Detector
from lineas.scenes.grammar import parse, prompt, random_scene
from lineas.scenes.nuisance import LATENT_SHAPE, nuisance
from lineas.scenes.render import render

KINDS = ("object", "place", "style", "time", "weather", "colour")
NAMED = ("object", "place", "style")
COMPLETE = "all objects, place and style of a prompt"


class Page(NamedTuple):
    """What the page tells of a model: numbers of steps, names of its figures and its sheet, what it is."""

    steps: tuple[int, ...]
    figures: str
    sheet: str
    what: str


UNET = Page(
    (1,),
    "generator",
    "contact_sheet",
    "A `StableDiffusionPipeline` of one step: UNet, CLIP text encoder, latents of 4 × 16 × 16.",
)
TRANSFORMER = Page(
    (1, 2, 4, 8),
    "transformer",
    "contact_sheet_transformer",
    "A `ZImagePipeline` of few steps, here 2: a diffusion transformer trained by flow matching, Qwen3 text "
    "encoder, latents of 16 × 16 × 16.",
)
PAGES = dict(zip(BUNDLED, (UNET, TRANSFORMER), strict=True))
SEED, NOISE = 900_001, 70_000
"""Prompts of this seed are in no training shard; prompt i is drawn from the noise of NOISE + i."""


def complete(found: list, named: list) -> Rate:
    """Images in which all objects, the place and the style of the prompt are found."""
    whole = [all(pair in f for pair in n if pair[0] in NAMED) for f, n in zip(found, named, strict=True)]
    return Rate(sum(whole), len(whole))


def rendered(prompts: list[str], channels: int) -> list[np.ndarray]:
    """What the model is to draw: the renderer's images for the noise that each prompt is drawn from."""
    shape = (1, channels, *LATENT_SHAPE[1:])
    generators = (torch.Generator().manual_seed(NOISE + i) for i in range(len(prompts)))
    noise = torch.cat([torch.randn(shape, generator=generator) for generator in generators])
    means = nuisance(noise[:, : LATENT_SHAPE[0]])
    return [render(parse(text), u) for text, u in zip(prompts, means, strict=True)]


@torch.no_grad()
def autoencoded(pipe: Any, images: list[np.ndarray]) -> list[np.ndarray]:
    """The same through the autoencoder alone, in batches."""
    batches = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).to(pipe.vae.dtype).split(32)
    made = [pipe.vae.decode(pipe.vae.encode(part / 127.5 - 1).latents).sample for part in batches]
    pixels = ((torch.cat(made) / 2 + 0.5).clamp(0, 1) * 255).round().byte()
    return list(pixels.permute(0, 2, 3, 1).numpy())


def held_out_text(stem: str, values: dict[str, Any]) -> str:
    """How often the detector or the open_clip model is right on renders that it never saw."""
    count = values["held-out renders"]
    shares = ", ".join(f"{name} {v:.1%}" for name, v in values.items() if name != "held-out renders")
    return f"The {stem} on {count} held-out renders, right in: {shares}."


def section(name: str, prompts: list[str], docs: Path) -> list[str]:
    """Blocks of the page on one model; its figures go to its weights, its sheet to the pictures."""
    page, pipe, detector = PAGES[name], load_pipeline(name=name), Detector.load()
    draw = Drawer(pipe, seed=NOISE, batch=32)
    images = draw(prompts)
    found, named = detector.found(images), [parse(text).visible() for text in prompts]
    rates = {}
    for kind in KINDS:
        shown = [pair in f for f, n in zip(found, named, strict=True) for pair in n if pair[0] == kind]
        rates[kind] = Rate(sum(shown), len(shown))
    rates[COMPLETE] = complete(found, named)
    renders = rendered(prompts, pipe.vae.config.latent_channels)
    ceilings = {
        "rendered": complete(detector.found(renders), named),
        "rendered, encoded and decoded": complete(detector.found(autoencoded(pipe, renders)), named),
    }
    for steps in page.steps:
        fewer = Drawer(pipe, recipe=replace(draw.recipe, steps=steps, capture=None), seed=NOISE, batch=32)
        made = images if steps == draw.recipe.steps else fewer(prompts)
        ceilings[f"generated, {steps} step{'s' * (steps > 1)}"] = complete(detector.found(made), named)
    figures = {"held-out prompts": len(prompts)} | {
        each: round(rate.value, 4) for each, rate in rates.items()
    }
    (WEIGHTS / "figures" / f"{page.figures}.json").write_text(json.dumps(figures, indent=1) + "\n")
    sheet = f"images/{page.sheet}.png"
    contact_sheet([images[8 * r : 8 * r + 8] for r in range(6)]).save(docs / sheet)
    print(name, json.dumps(figures, indent=1), flush=True)
    return [
        f"## {name}",
        page.what,
        table(["found when the prompt names it", "rate, 95 % interval"], _rows(rates)),
        "Where it is lost:",
        table(["the same prompts", COMPLETE], _rows(ceilings)),
        f"![48 held-out prompts]({sheet})",
    ]


def _rows(rates: dict[str, Rate]) -> list[list[str]]:
    return [[name, str(rate)] for name, rate in rates.items()]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--prompts", type=int, default=2000)
    parser.add_argument("--docs", type=Path, default=Path("docs"))
    arguments = parser.parse_args()
    rng = np.random.default_rng(SEED)
    prompts = [prompt(random_scene(rng), rng) for _ in range(arguments.prompts)]
    (arguments.docs / "images").mkdir(parents=True, exist_ok=True)
    generators = [page.figures for page in PAGES.values()]
    held_out = {stem: values for stem, values in accuracies().items() if stem not in generators}
    blocks = [
        "# The bundled models",
        f"Measured with `python -m benchmarks.images.bundled_model` on {machine()}.",
        *(block for name in BUNDLED for block in section(name, prompts, arguments.docs)),
        "## What measures them",
        *(held_out_text(stem, values) for stem, values in held_out.items()),
        "## The prompts of the sheets, row by row",
        "\n".join(f"{i + 1}. {text}" for i, text in enumerate(prompts[:48])),
    ]
    (arguments.docs / "bundled_model.md").write_text("\n\n".join(blocks) + "\n")


if __name__ == "__main__":
    main()
