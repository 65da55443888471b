"""Table C: a removal by intent with one option changed at a time, on the bundled model.

    python -m benchmarks.images.image_ablations --output docs/results
    python -m benchmarks.images.image_ablations --only "N = 1" "rows mean" --concepts clock

What is counted is what table B counts (intents.py), on the same prompts and noise. Every cell is a line in
OUTPUT/ablations.jsonl and is computed once for the weights that are there; a run that is cut off goes on
where it was. Written: ablations.md. A cell takes one to two minutes of one core. Two removals and two
additions at once are in several.py.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tqdm import tqdm

from benchmarks.images.bench import Bench
from benchmarks.images.concepts import weights_there
from benchmarks.report import machine, pooled, table, text_of
from benchmarks.results import Key, Results
from lineas.errors import PromptError
from lineas.evaluation.rates import Rate
from lineas.prompts.banks import REMOVE
from lineas.scenes.bundled import load_pipeline

CONCEPTS = ("at night", "clock")
"""One that fills the image, and one that is small in it."""
HEAD = """# Removing by intent with one option changed

Strength 1 as it was calibrated, seed 0; prompts, noise and counting are those of [table B](intents.md). The
default has 32 prompts a set, 40 steps, γ = 0, rows of 16 tokens or pixels a prompt, gated maps at the text
encoder's norms, and the cost there and at all norms of the UNet. One prompt is no distribution: N = 1 is
refused. γ weighs the penalty against a cost in which every unit is measured in its own spread, so that it is
not the paper's, whose units are raw (for that see the language table C).
"""


@dataclass(frozen=True)
class Ablation:
    """What differs from the plan of the intent."""

    label: str
    options: Mapping[str, Any] = field(default_factory=dict)


COUNTS, STEPS = (1, 2, 4, 8, 16, 64, 128), (10, 20, 80, 160)
GAMMAS, ROWS = (0.03, 0.1, 0.3, 1.0), ("mean", "tokens:4", "tokens:64")
EVERYWHERE = {"steer": "*", "map": "affine"}
ABLATIONS = (
    Ablation("the default"),
    *(Ablation(f"N = {n}", {"count": n}) for n in COUNTS),
    *(Ablation(f"{n} steps", {"steps": n}) for n in STEPS),
    *(Ablation(f"γ = {gamma:g}", {"sparsity": gamma}) for gamma in GAMMAS),
    *(Ablation(f"rows {rows}", {"rows": rows}) for rows in ROWS),
    Ablation("no preserve prompts", {"preserve_weight": 0.0}),
    Ablation("affine maps", {"map": "affine"}),
    Ablation("the cost at the text encoder alone", {"sites": "text"}),
    Ablation("the last norm of the text encoder alone", {"steer": "text_encoder*final_layer_norm"}),
    Ablation("affine, text encoder and UNet norms", EVERYWHERE),
    *(Ablation(f"affine, UNet {name}", {**EVERYWHERE, "sites": name}) for name in ("norms", "attention")),
)


def cell(bench: Bench, ablation: Ablation, concept: str) -> dict[str, Any]:
    """What the intent gives with these options, or why it is refused."""
    try:
        return replace(bench, options={**bench.options, **ablation.options}).by_intent(REMOVE, concept, 0)
    except PromptError as error:
        return {"refused": str(error)}


def key_of(weights: str, ablation: Ablation, concept: str) -> Key:
    return {"weights": weights, "concept": concept, "options": dict(ablation.options)}


def page(results: Results, weights: str) -> str:
    """A row for each ablation that is there."""
    heads = [
        "remove with", *(f"gone, {concept}" for concept in CONCEPTS), "gone, all the rest kept",
        "other prompts kept", "strength unit", "CPU s of a fit",
    ]  # fmt: skip
    lines, refused = [], []
    for ablation in ABLATIONS:
        cells = {c: value for c in CONCEPTS if (value := results.get(key_of(weights, ablation, c)))}
        refused += list({f"- {ablation.label}: {v['refused']}" for v in cells.values() if "refused" in v})
        cells = {concept: value for concept, value in cells.items() if "refused" not in value}
        if cells:
            lines.append([ablation.label, *_figures(cells)])
    made = f"{machine()}. Made by benchmarks/images/image_ablations.py."
    parts = [HEAD.strip(), made, table(heads, lines), "\n".join(refused)]
    return "\n\n".join(parts).rstrip() + "\n"


def _figures(cells: Mapping[str, Any]) -> list[str]:
    gone = [pooled([cells[c]["steered"]["done"]]) if c in cells else Rate(0, 0) for c in CONCEPTS]
    kept = pooled(value["steered"]["all_kept"] for value in cells.values())
    others = pooled(value["others_kept"] for value in cells.values())
    units = " ".join(f"{value['strength_unit'] or 1:g}" for value in cells.values())
    seconds = sum(value["cpu_seconds"] for value in cells.values()) / len(cells)
    shares = [f"{rate.value:.0%}" if rate.total else "–" for rate in gone]
    return [*shares, text_of((kept.value, *kept.interval)), text_of((others.value, *others.interval)), units,
            f"{seconds:.0f}"]  # fmt: skip


def main(words: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="+", help="these rows, by label", metavar="ROW")
    parser.add_argument("--concepts", nargs="+", default=list(CONCEPTS), choices=CONCEPTS)
    parser.add_argument("--output", type=Path, default=Path("docs/results"))
    parser.add_argument("--steerings", type=Path, default=Path("out/ablations"))
    arguments = parser.parse_args(words)
    results, weights = Results(arguments.output / "ablations.jsonl"), weights_there()
    arguments.steerings.mkdir(parents=True, exist_ok=True)
    bench = Bench(load_pipeline(), arguments.steerings, weights)
    chosen = [each for each in ABLATIONS if arguments.only is None or each.label in arguments.only]
    for ablation in tqdm(chosen, desc="table C", disable=None):
        for concept in arguments.concepts:
            key = key_of(weights, ablation, concept)
            results.compute(key, lambda a=ablation, c=concept: cell(bench, a, c))
            (arguments.output / "ablations.md").write_text(page(results, weights), encoding="utf-8")


if __name__ == "__main__":
    main()
