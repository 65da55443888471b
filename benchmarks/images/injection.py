"""Add concepts to the bundled model: trained from prompts without the concept to prompts with it.

    python -m benchmarks.images.injection --output docs/results

Images of held-out prompts that do not name the concept are drawn from the same noise with and without the
steering, and the bundled detector reads them. Each row is a line in OUTPUT/injection.jsonl and is computed
once for the weights that are there; injection.md is made from them. The inverse of a removal, which needs no
training of its own, is in the table of erasure.py.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

from tqdm import tqdm

from benchmarks.images.erasure import CONCEPTS, END_TO_END, Bench, weights
from benchmarks.report import machine, pooled, table
from benchmarks.results import Results
from lineas import fit
from lineas.evaluation.images.clip_score import ClipScore
from lineas.scenes.bundled import CLIP, load_pipeline
from lineas.scenes.concepts import concept_sets
from lineas.scenes.detector import Detector

STRENGTHS = (0.5, 0.75, 1.0, 1.25)
STEPS, COUNT, HELD_OUT = 40, 32, 64
VARIANTS: dict[str, dict[str, Any]] = {
    "LinEAS": {**END_TO_END, "steps": STEPS},
    "LinEAS on UNet norms": {"steps": STEPS},
    "Lin-AcT": {"method": "lin-act"},
    "Mean-AcT": {"method": "mean-act"},
    "CAA": {"method": "caa"},
}
TITLE = """# Concepts added to the bundled model

`python -m benchmarks.images.injection`, on {machine}. {count} source prompts without the concept, {count}
target prompts with it, no preserve prompts; {held_out} held-out prompts without the concept.

- Present: images that show the concept. Kept: of what a prompt names and its unsteered image shows, what is
  still found; a place that is added takes the place of the one named.
"""


def row(bench: Bench, concept: str, variant: str) -> dict[str, Any]:
    """Fit one variant on one concept, draw, and count."""
    kind, name = concept.split(":")
    sets = concept_sets(kind, name, COUNT, held_out=HELD_OUT)
    began = time.process_time()
    steering = fit(bench.pipe, sets.target, sets.source, recipe="scenes", **VARIANTS[variant])
    seconds = time.process_time() - began
    bench.picture(f"add_{kind}_{name}_{variant}", steering, sets.held_out_without[:6], (0.0, *STRENGTHS))
    report = bench.measure(kind, name)(steering, sets.held_out_without, sets.held_out_with, (0.0, *STRENGTHS))
    return {"cpu seconds": round(seconds, 1), **report.as_dict()}


def page(results: Results, model: str) -> str:
    """All variants together, and each by concept."""
    lines = [
        TITLE.format(machine=results.get({"kind": "machine", "model": model}), count=COUNT, held_out=HELD_OUT)
    ]
    rows = {
        variant: {
            key["concept"]: value["strengths"] for key, value in results.find(model=model, variant=variant)
        }
        for variant in VARIANTS
    }
    rows = {variant: cells for variant, cells in rows.items() if cells}
    heads = ["present / kept", "concepts", "unsteered", *(f"λ = {s:g}" for s in STRENGTHS)]
    lines += [
        table(heads, [[v, str(len(cells)), *_shares(list(cells.values()))] for v, cells in rows.items()])
    ]
    for variant, cells in rows.items():
        shown = [[concept, *_shares([each])] for concept, each in cells.items()]
        lines += [f"\n## {variant}\n", table(["present / kept", *heads[2:]], shown)]
    return "\n".join(lines) + "\n"


def _shares(rows: list[Any]) -> list[str]:
    """Per strength, all these rows' images together."""
    shown = [
        [f"{pooled([each[name] for each in at]).value:.1%}" for name in ("presence", "others_kept")]
        for at in zip(*rows, strict=True)
    ]
    return [shown[0][0], *(" / ".join(each) for each in shown[1:])]


def main(words: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--concepts", nargs="+", default=list(CONCEPTS))
    parser.add_argument("--variants", nargs="+", default=list(VARIANTS), choices=list(VARIANTS))
    parser.add_argument("--output", type=Path, default=Path("out/results"))
    parser.add_argument("--pictures", type=Path, default=Path("out/injection"))
    arguments = parser.parse_args(words)
    results, model = Results(arguments.output / "injection.jsonl"), weights()
    bench = Bench(
        load_pipeline(), Detector.load(), ClipScore.load(CLIP), STEPS, COUNT, HELD_OUT, arguments.pictures
    )
    results.compute({"kind": "machine", "model": model}, machine)
    for variant, concept in tqdm(
        [(v, c) for v in arguments.variants for c in arguments.concepts], desc="rows"
    ):
        key = {"kind": "row", "model": model, "concept": concept, "variant": variant}
        results.compute(key, lambda concept=concept, variant=variant: row(bench, concept, variant))
    (arguments.output / "injection.md").write_text(page(results, model), encoding="utf-8")


if __name__ == "__main__":
    main()
