"""By what a strength is calibrated: the cost on held-out prompts, or images that a CLIP model judges.

    python -m benchmarks.images.intents --pictures intents        # makes the steerings, by the cost
    python -m benchmarks.images.calibration --steerings intents --output docs/results
    python -m benchmarks.images.calibration --model scenes-transformer --steerings intents-transformer

A bundled model and the bundled CLIP model; the bundled detector, which neither sees, tells what both
strengths 1 do on other prompts and noise. Half a minute of one core a steering. Each row is a line in
OUTPUT/calibration.jsonl and computed once; the page is OUTPUT/calibration.md, --render makes it alone.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.images.bench import NOISE, Bench
from benchmarks.images.concepts import concepts_of, swapped_for, weights_there
from benchmarks.report import machine, mean_of, pooled, table, text_of
from benchmarks.results import Key, Results
from lineas.adapters.images.clip_score import ClipScore
from lineas.adapters.intents import way_by_clip
from lineas.evaluation.images.scenes_report import scenes_report
from lineas.intents.calibration import HELD_OUT_SEED, calibrated, usable_range
from lineas.intents.plan import Plan
from lineas.prompts.banks import INTENTS
from lineas.scenes import BUNDLED
from lineas.scenes.bundled import CLIP, load_pipeline
from lineas.steering.steering import Steering

FIGURES = ("done", "all_kept")
COST, BY_CLIP, END = "cost", "CLIP", "end"
Row = dict[str, Any]
"""Whether CLIP tells the images apart, its [along, off] at the strengths drawn, its seconds of one core; and
of each calibration the range, and the rates at strength 1 and at the upper end of the range."""


def row_key(weights: str, intent: str, concept: str) -> Key:
    return {"intent": intent, "concept": concept, "weights": weights}


def compared(bench: Bench, clip: ClipScore, intent: str, concept: str) -> Row:
    """Both calibrations of one steering, and what the detector says of both strengths 1."""
    made = bench.plan(intent, concept, 0)
    by_cost = Steering.load(bench.folder / f"{made.sets.file_name}-0.safetensors")
    unit = float(by_cost.provenance.settings["strength_unit"] or 1)
    fitted, began = by_cost.at(1 / unit), time.process_time()
    assert made.sets.for_judging is not None
    way = way_by_clip(bench.pipe, made.sets.for_judging, fitted, clip, HELD_OUT_SEED)
    found = usable_range(way)
    seconds = round(time.process_time() - began, 1)
    drawn = {f"{strength:g}": [each.along, each.off] for strength, each in sorted(way.known.items())}
    row: Row = {"told_apart": way.scale.told_apart, "seconds": seconds, "drawn": drawn}
    row[COST] = judged(bench, made, concept, by_cost)
    if found is not None:
        by_clip = calibrated(fitted, found, clip.name)
        same = _range(by_clip) == _range(by_cost)
        row[BY_CLIP] = {**(row[COST] if same else judged(bench, made, concept, by_clip)), "met": found.met}
    return row


def _range(steering: Steering) -> Row:
    made = steering.provenance.settings
    return {name: made[name] for name in ("strength_unit", "usable_from", "usable_to")}


def judged(bench: Bench, made: Plan, concept: str, steering: Steering) -> Row:
    """The range of a steering, and the detector's rates at strength 1 and at the end of use."""
    made_range = _range(steering)
    at_end = _rates_at(bench, made, concept, steering, made_range["usable_to"])
    return {**made_range, **_rates_at(bench, made, concept, steering, 1.0), END: at_end}


def _rates_at(bench: Bench, made: Plan, concept: str, steering: Steering, strength: float) -> Row:
    draw = bench.drawn(steering, strength, NOISE)
    report = scenes_report(draw, made, concept, swapped_for(made.intent, concept)).as_dict()
    figures = {name: report["steered"][name] for name in FIGURES}
    return {**figures, "others_kept": report["others_kept"]}


def page(results: Results, weights: Mapping[str, str]) -> str:
    """A row for each steering, and the means of an intent over those that CLIP tells apart.

    weights: of each model, by its name.
    """
    parts = [
        "# Calibrated by the cost, and by CLIP",
        "Bundled models, steerings by default settings, seed 0, 32 prompts each. λ: the strength of the fit "
        "that became 1, and in brackets the strengths of use, in those of the file; the end is that of use. "
        "By CLIP: images of 16 held-out prompts, judged by the bundled open_clip model. Rates are the "
        "detector's, on prompts and noise that no calibration saw: as wanted / as wanted and all the rest "
        "kept / other prompts kept. –: CLIP does not tell prompting's images from untouched ones, so that "
        "the cost is gone by. "
        f"{machine()}. Made by benchmarks/images/calibration.py.",
    ]  # fmt: skip
    for model in weights:
        rows = {
            intent: {key["concept"]: row for key, row in results.find(weights=weights[model], intent=intent)}
            for intent in INTENTS
        }
        tables = [_table(intent, found) for intent, found in rows.items() if found]
        parts += [f"## {model}", *tables] if tables else []
    return "\n\n".join(parts) + "\n"


def _table(intent: str, found: dict[str, Row]) -> str:
    told = {concept: row for concept, row in found.items() if row["told_apart"] and BY_CLIP in row}
    rows: list[tuple[str, ...]] = [
        (concept, *_cells(row[COST]), *(_cells(row[BY_CLIP]) if concept in told else ("–", "–", "–")))
        for concept, row in found.items()
    ]
    rows.append(("mean of all", *_means([row[COST] for row in found.values()]), "", "", ""))
    if told:
        means = [cell for by in (COST, BY_CLIP) for cell in _means([row[by] for row in told.values()])]
        rows.append((f"mean of {len(told)} that CLIP tells", *means))
    return table((intent, "λ by cost", "at 1", "at the end", "λ by CLIP", "at 1", "at the end"), rows)


def _means(rows: Sequence[Row]) -> tuple[str, str, str]:
    def mean(rows: Sequence[Row]) -> str:
        names = (*FIGURES, "others_kept")
        return " / ".join(text_of(mean_of([pooled([row[name]]) for row in rows])) for name in names)

    return "", mean(rows), mean([row[END] for row in rows])


def _rates(row: Row) -> str:
    return " / ".join(f"{pooled([row[name]]).value:.0%}" for name in (*FIGURES, "others_kept"))


def _cells(row: Row) -> tuple[str, str, str]:
    made_range = f"{row['strength_unit']:g} ({row['usable_from']:g}–{row['usable_to']:g})"
    return made_range, _rates(row), _rates(row[END])


def rows_of(bench: Bench, concepts: Sequence[str] | None) -> Iterator[tuple[str, str]]:
    """Intent and concept of the steerings that are there; concepts: None for all."""
    for intent in INTENTS:
        for concept in (each for each in concepts_of(intent) if concepts is None or each in concepts):
            name = bench.plan(intent, concept, 0).sets.file_name
            if (bench.folder / f"{name}-0.safetensors").is_file():
                yield intent, concept


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--model", default=BUNDLED[0], choices=BUNDLED)
    parser.add_argument("--steerings", type=Path, default=Path("intents"))
    parser.add_argument("--output", type=Path, default=Path("docs/results"))
    parser.add_argument("--concepts", nargs="+", help="in the words of an intent (default: all)")
    parser.add_argument("--render", action="store_true", help="write the page alone")
    arguments = parser.parse_args()
    results, model = Results(arguments.output / "calibration.jsonl"), arguments.model
    weights = {name: weights_there(name) for name in BUNDLED}
    if not arguments.render:
        bench, clip = (
            Bench(load_pipeline(name=model), arguments.steerings, weights[model]),
            ClipScore.load(CLIP),
        )
        for intent, concept in rows_of(bench, arguments.concepts):
            key = row_key(bench.weights, intent, concept)
            results.compute(key, partial(compared, bench, clip, intent, concept))
            print(intent, concept, flush=True)
    (arguments.output / "calibration.md").write_text(page(results, weights), encoding="utf-8")


if __name__ == "__main__":
    main()
