"""What the bundled model can do: concepts found in images of new prompts, and a contact sheet to look at.

    python benchmarks/bundled_model.py

writes docs/images/contact_sheet.png, docs/bundled_model.md and the figures that are shipped with the weights.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from pathlib import Path

import numpy as np
import torch

from lineas.evaluation import contact_sheet
from lineas.evaluation.drawing import Drawer
from lineas.evaluation.rates import Rate
from lineas.scenes import Detector, accuracies, load_pipeline, parse, prompt, random_scene
from lineas.scenes.bundled import WEIGHTS

KINDS = ("object", "place", "style", "time", "weather", "colour")
NAMED = ("object", "place", "style")
SEED = 900_001
"""Prompts of this seed are in no training shard."""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--prompts", type=int, default=500)
    parser.add_argument("--docs", type=Path, default=Path("docs"))
    arguments = parser.parse_args()
    rng = np.random.default_rng(SEED)
    prompts = [prompt(random_scene(rng), rng) for _ in range(arguments.prompts)]
    draw, detector = Drawer(load_pipeline(), recipe="scenes", seed=70_000, batch=32), Detector.load()
    start = time.perf_counter()
    images = draw(prompts)
    speed = len(prompts) / (time.perf_counter() - start)
    found = detector.found(images)
    named = [parse(text).visible() for text in prompts]
    rates = {}
    for kind in KINDS:
        shown = [pair in f for f, n in zip(found, named, strict=True) for pair in n if pair[0] == kind]
        rates[kind] = Rate(sum(shown), len(shown))
    complete = [all(pair in f for pair in n if pair[0] in NAMED) for f, n in zip(found, named, strict=True)]
    rates["all objects, place and style of a prompt"] = Rate(sum(complete), len(complete))
    figures = {
        "held-out prompts": len(prompts),
        **{name: round(rate.value, 4) for name, rate in rates.items()},
    }
    (WEIGHTS / "figures" / "generator.json").write_text(json.dumps(figures, indent=1) + "\n")
    sheet = contact_sheet([images[8 * r : 8 * r + 8] for r in range(6)])
    (arguments.docs / "images").mkdir(parents=True, exist_ok=True)
    sheet.save(arguments.docs / "images" / "contact_sheet.png")
    lines = ["| found in the image when the prompt names it | rate, 95 % interval |", "|---|---:|"]
    lines += [f"| {name} | {rate} |" for name, rate in rates.items()]
    others = [f"- {stem}: {values}" for stem, values in accuracies().items() if stem != "generator"]
    threads = f"{torch.get_num_threads()} threads, {speed:.0f} images/s"
    machine = f"{platform.machine()}, torch {torch.__version__}, {threads}"
    text = [
        f"Measured with `python benchmarks/bundled_model.py` on {machine}.",
        *lines,
        "On held-out renders:",
        *others,
    ]
    listed = [f"{i + 1}. {text}" for i, text in enumerate(prompts[:48])]
    text += ["![48 held-out prompts](images/contact_sheet.png)", "The prompts, row by row:", *listed]
    blocks = (
        "\n".join(text)
        .replace("\n| found", "\n\n| found")
        .replace("\nOn held", "\n\nOn held")
        .replace("\n- ", "\n\n- ", 1)
    )
    (arguments.docs / "bundled_model.md").write_text(f"# The bundled model\n\n{blocks}\n")
    print(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
