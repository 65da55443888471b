"""What a person gets who says remove, add or swap, by default settings, on the bundled model.

    python -m benchmarks.images.intents --output docs/results
    python -m benchmarks.images.intents --intents add --concepts "at night" clock --seeds 0 1 2

Strength 1, as it was calibrated. Each row is a line in OUTPUT/intents.jsonl and computed once; a run that is
cut off goes on where it was, and --render makes intents.md from what is there. Pictures and steerings go to
PICTURES. A row takes about two minutes of one core. Intervals are over concepts, drawn anew.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from benchmarks.images.erasure import weights as weights_there
from benchmarks.report import machine, table
from benchmarks.results import Results
from lineas.adapters.images.drawing import Drawer
from lineas.adapters.intents import carry_out, plan
from lineas.evaluation.images.scenes_report import scenes_report
from lineas.evaluation.rates import Rate, bootstrap_interval
from lineas.pictures.contact_sheet import strength_sheet
from lineas.prompts.banks import ADD, REMOVE, SWAP
from lineas.scenes.bundled import load_pipeline
from lineas.scenes.naming import named_concept

TUNED = (
    "at night", "rain", "in the forest", "in the city", "pixel art", "sepia", "red", "pink", "clock",
    "elephant",
)  # fmt: skip
NEVER_TUNED = ("snow", "on the beach", "vaporwave", "robot")
SWAPS = {
    "cat": "horse", "red": "blue", "at night": "at sunset", "in the forest": "on the beach", "rain": "snow",
    "sepia": "pixel art", "clock": "book", "elephant": "gorilla",
}  # fmt: skip
NOISE = 7000
STRENGTHS = (0.0, 0.5, 1.0, 1.5)


def row(pipe: Any, intent: str, concept: str, seed: int, pictures: Path) -> dict[str, Any]:
    """Carry one intent out, and measure it."""
    to = SWAPS[concept] if intent == SWAP else None
    start, began = time.process_time(), time.perf_counter()
    made = plan(pipe, intent, concept, to, seed=seed)
    with warnings.catch_warnings(record=True) as told:
        steering = carry_out(pipe, made, recipe="scenes")
    seconds = {"cpu_seconds": time.process_time() - start, "seconds": time.perf_counter() - began}
    steering.save(pictures / f"{made.sets.file_name}-{seed}.safetensors")
    draw = Drawer(pipe, [steering], recipe="scenes", seed=NOISE, batch=16)
    report = scenes_report(draw, made, concept, to)
    if seed == 0 and made.sets.for_reporting is not None:
        shown = made.sets.for_reporting[0][:5]
        sheet = strength_sheet([draw(shown, s) for s in STRENGTHS], STRENGTHS, shown)
        sheet.save(pictures / f"{made.sets.file_name}.png")
    settings = steering.provenance.settings
    kept = ("strength_unit", "usable_from", "usable_to", "cost", "cost_at_start", "steps_done")
    return {
        **{name: round(value, 1) for name, value in seconds.items()},
        **{name: settings.get(name) for name in kept},
        "told": [str(each.message)[:200] for each in told],
        **report.as_dict(),
    }


WAYS = {"unsteered": "untouched", "prompting": "prompting", "steered": "steering"}


def _mean(rows: Iterable[Mapping[str, Any]], way: str, figure: str) -> str:
    rates = [row[way][figure] for row in rows]
    if not rates:
        return "–"
    return _text([Rate(rate["hits"], rate["total"]).value for rate in rates if rate["total"]])


def _text(values: list[float]) -> str:
    low, high = bootstrap_interval(values, [1.0] * len(values))
    return f"{sum(values) / len(values):.1%} ({low:.1%} to {high:.1%})"


def page(results: Results, weights: str) -> str:
    """Tables of all rows: means over concepts with intervals, then each row."""
    parts = [
        "# Remove, add, swap by default settings",
        "Bundled model, strength 1 as calibrated, held-out prompts and noise. Means over concepts and seeds, "
        "in brackets 95 % bootstrap intervals over those rows. Settings were chosen on other prompts and "
        "noise of some of the ten; none on the four. An addition goes into every prompt, so that others "
        "change too. "
        f"{machine()}. Made by benchmarks/images/intents.py.",
    ]
    for intent in (REMOVE, ADD, SWAP):
        found = [(k, v) for k, v in results.find(intent=intent, weights=weights)]
        if not found:
            continue
        groups = {"all": found}
        if intent != SWAP:
            groups["the ten"] = [(k, v) for k, v in found if k["concept"] in TUNED]
            groups["never tuned on"] = [(k, v) for k, v in found if k["concept"] in NEVER_TUNED]
        rows = [
            (
                f"{name} ({len(each)}), {words}",
                *(_mean((v for _, v in each), way, f) for f in ("done", "rest_kept", "all_kept")),
                _text([v["others_kept"]["hits"] / v["others_kept"]["total"] for _, v in each])
                if way == "steered" else "–",
            )
            for name, each in groups.items() if each
            for way, words in WAYS.items() if way != "unsteered" or name == "all"
        ]  # fmt: skip
        heads = (intent, "as wanted", "rest kept", "as wanted, all the rest kept", "other prompts kept")
        parts += [f"## {intent.capitalize()}", table(heads, rows), _each(found)]
    return "\n\n".join(parts) + "\n"


def _each(found: list[tuple[dict[str, Any], Any]]) -> str:
    heads = ("concept", "seed", "as wanted", "prompting", "rest kept", "by prompting", "all", "others kept",
             "unit", "CPU s")  # fmt: skip
    rows = []
    for key, value in found:
        steered, prompted = value["steered"], value["prompting"]
        cells = (
            steered["done"], prompted["done"], steered["rest_kept"], prompted["rest_kept"],
            steered["all_kept"], value["others_kept"],
        )  # fmt: skip
        rates = [f"{Rate(c['hits'], c['total']).value:.0%}" for c in cells]
        name = key["concept"] + (f" → {SWAPS[key['concept']]}" if key["intent"] == SWAP else "")
        tail = (f"{value['strength_unit'] or 1:g}", f"{value['cpu_seconds']:.0f}")
        rows.append((name, str(key["seed"]), *rates, *tail))
    return table(heads, rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path("docs/results"))
    parser.add_argument("--pictures", type=Path, default=Path("intents"))
    parser.add_argument("--intents", nargs="+", default=[REMOVE, ADD, SWAP])
    parser.add_argument("--concepts", nargs="+", help="in the words of an intent (default: all)")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--render", action="store_true", help="write the page alone")
    arguments = parser.parse_args()
    results, weights = Results(arguments.output / "intents.jsonl"), weights_there()
    arguments.pictures.mkdir(parents=True, exist_ok=True)
    pipe = None if arguments.render else load_pipeline()
    for seed in arguments.seeds if pipe else ():
        for intent in arguments.intents:
            for concept in arguments.concepts or (SWAPS if intent == SWAP else (*TUNED, *NEVER_TUNED)):
                named_concept(concept)
                key = {"intent": intent, "concept": concept, "seed": seed, "weights": weights}
                value = results.compute(
                    key, lambda i=intent, c=concept, s=seed: row(pipe, i, c, s, arguments.pictures)
                )
                print(intent, concept, seed, value["steered"]["done"], value["others_kept"], flush=True)
                (arguments.output / "intents.md").write_text(page(results, weights), encoding="utf-8")
    (arguments.output / "intents.md").write_text(page(results, weights), encoding="utf-8")


if __name__ == "__main__":
    main()
