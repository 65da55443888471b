"""Tables C and D on the bundled model: LinEAS with one option changed at a time, and two steerings at once.

    python -m benchmarks.images.image_ablations C D --output docs/results

Each cell is a line in OUTPUT/image_ablations.jsonl and is computed once for the weights that are there; a run
that is cut off goes on where it was. Written: image_ablations.md.

Table C trains gated maps with the cost at the text encoder alone, where a fit takes seconds and the number of
prompts can go far up; its last part changes the sites. Table D removes two concepts from prompts that name
both.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass, field
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
from tqdm import tqdm

from benchmarks.images.concepts import weights_there
from benchmarks.report import machine, pooled, table
from benchmarks.results import Results
from lineas import fit
from lineas.adapters.images.drawing import Drawer
from lineas.evaluation.images.concept_report import concept_report
from lineas.evaluation.rates import Rate, joint_rate, presence_rate, retain_rate
from lineas.intents.settings import REMOVING
from lineas.scenes.bundled import load_pipeline
from lineas.scenes.concepts import concept_sets
from lineas.scenes.detector import Detector
from lineas.scenes.grammar import parse, prompt, with_concept
from lineas.steering.steering import Steering

CONCEPTS = ("time:night", "weather:rain")
PAIRS = (("time:night", "style:pixel art"), ("weather:rain", "object:clock"))
HELD_OUT, COMPOSED_STEPS, NOISE = 64, 40, 5000
END_TO_END: dict[str, Any] = {name: REMOVING[name] for name in ("sites", "steer")}
"""Steered at the text encoder, by a cost there and at the UNet."""
TITLE = """# Ablations and compositions on the bundled model

`python -m benchmarks.images.image_ablations C D`, on {machine}.
"""


@dataclass(frozen=True)
class Ablation:
    """One fit: how many prompts in each set, and options that differ from the base."""

    label: str
    count: int = 32
    options: dict[str, Any] = field(default_factory=dict)


BASE: dict[str, Any] = {"sites": "text", "map": "gated", "steps": 100}
ABLATIONS = (
    *(Ablation(f"N = {n}", count=n) for n in (2, 4, 8, 16, 32, 64, 128, 256)),
    *(Ablation(f"γ = {gamma:g}", options={"sparsity": gamma}) for gamma in (0.0, 0.03, 0.1, 0.3, 1.0, 3.0)),
    *(Ablation(f"{steps} steps", options={"steps": steps}) for steps in (10, 30, 100, 300, 1000)),
    Ablation("sites text, affine", options={"map": "affine"}),
    Ablation("steered at text, cost at text and UNet", options={**END_TO_END, "steps": 40}),
    *(
        Ablation(f"sites {name}, affine", options={"sites": name, "map": "affine", "steps": 40})
        for name in ("norms", "attention", "resnets", "norms+text")
    ),
)


class Bench:
    """The bundled model, its detector, and the cells that are there."""

    def __init__(self, results: Results) -> None:
        self.results, self.pipe, self.detector = results, load_pipeline(), Detector.load()

    def fitted(self, concept: str, ablation: Ablation) -> tuple[Steering, float]:
        """The steering and the CPU seconds it took."""
        sets = concept_sets(*concept.split(":"), ablation.count, held_out=HELD_OUT)
        began = time.process_time()
        options = {**BASE, **ablation.options}
        steering = fit(self.pipe, sets.source, sets.target, sets.preserve, recipe="scenes", **options)
        return steering, time.process_time() - began

    def ablation(self, concept: str, ablation: Ablation) -> dict[str, Any]:
        """Measured on the same held-out prompts for every number, less those that were trained on."""
        steering, seconds = self.fitted(concept, ablation)
        own = concept_sets(*concept.split(":"), ablation.count, held_out=HELD_OUT)
        sets = concept_sets(*concept.split(":"), held_out=HELD_OUT)
        trained = {*own.source, *own.target, *own.preserve}
        inside, cross = (
            [text for text in texts if text not in trained]
            for texts in (sets.held_out_with, sets.held_out_without)
        )
        report = concept_report(
            Drawer(self.pipe, [steering], recipe="scenes", seed=NOISE, batch=32), self.detector.found,
            tuple(concept.split(":")), inside, cross, named=lambda text: parse(text).visible(),
        )  # fmt: skip
        figures = report.as_dict()["strengths"][-1]
        return {"cpu seconds": round(seconds, 1), "support": 1 - steering.sparsity, **figures}

    def composition(self, pair: tuple[str, str]) -> dict[str, Any]:
        """Both concepts in images of prompts that name both, under each steering and both together."""
        concepts = [tuple(each.split(":")) for each in pair]
        first, second = (
            self.fitted(each, Ablation("", options={**END_TO_END, "steps": COMPOSED_STEPS}))[0]
            for each in pair
        )
        prompts = both_named(pair)
        ways: dict[str, list[Steering]] = {
            "none": [], pair[0]: [first], pair[1]: [second],
            "in sequence": [first.compose(second)],
            "in sequence, the other order": [second.compose(first)],
            "sum": [first.compose(second, mode="sum")],
        }  # fmt: skip
        out, before = {}, None
        for way, steerings in ways.items():
            found = self.detector.found(
                Drawer(self.pipe, steerings, recipe="scenes", seed=NOISE, batch=32)(prompts)
            )
            shown = [[concept in each for each in found] for concept in concepts]
            rest = [
                pair in each for each, text in zip(found, prompts, strict=True)
                for pair in sorted(parse(text).visible() - set(concepts))
            ]  # fmt: skip
            before = before or (shown, rest)
            gone = [[not each for each in row] for row in shown]
            rates = {
                **{name: presence_rate(row) for name, row in zip(pair, shown, strict=True)},
                "both there": joint_rate(*shown),
                "both gone": joint_rate(*gone),
                "rest kept": retain_rate(before[1], rest),
            }
            out[way] = {name: [rate.hits, rate.total] for name, rate in rates.items()}
        return out


def both_named(pair: tuple[str, str]) -> list[str]:
    """Held-out prompts of the first concept with the second one put in."""
    rng = np.random.default_rng(0)
    sets = concept_sets(*pair[0].split(":"), held_out=HELD_OUT)
    kind, name = pair[1].split(":")
    return [prompt(with_concept(parse(text), kind, name, rng), rng) for text in sets.held_out_with]


def report(results: Results, model: str) -> str:
    lines = [TITLE.format(machine=results.get({"kind": "machine", "model": model}))]
    heads = [
        "LinEAS with, λ = 1",
        *(f"erased, {concept}" for concept in CONCEPTS),
        "rest kept",
        "other prompts kept",
        "units steered",
        "CPU seconds of a fit",
    ]
    rows = []
    for ablation in ABLATIONS:
        found = results.find(kind="ablation", model=model, label=ablation.label)
        cells = {key["concept"]: value for key, value in found}
        if set(cells) == set(CONCEPTS):
            erased = [pooled([cells[concept]["erased"]]) for concept in CONCEPTS]
            kept = [pooled([cell[name] for cell in cells.values()]) for name in ("others_kept", "cross_kept")]
            support, seconds = (
                mean(cell[name] for cell in cells.values()) for name in ("support", "cpu seconds")
            )
            rows.append(
                [
                    ablation.label,
                    *(f"{rate.value:.1%}" for rate in erased + kept),
                    f"{support:.1%}",
                    f"{seconds:.0f}",
                ]
            )
    if rows:
        lines += [
            f"## Table C: one option changed\n\nOf {BASE}, 32 prompts in each set.\n",
            table(heads, rows),
            "",
        ]
    for key, ways in results.find(kind="composition", model=model):
        first, second = key["pair"]
        names = list(ways["none"])
        cells = [[way, *(str(Rate(*rates[name])) for name in names)] for way, rates in ways.items()]
        lines += [f"## Table D: {first} and {second}\n", table(["steering", *names], cells), ""]
    return "\n".join(lines)


def main(words: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("tables", nargs="+", choices=("C", "D"))
    parser.add_argument("--only", nargs="+", help="labels of table C")
    parser.add_argument("--output", type=Path, default=Path("out/results"))
    arguments = parser.parse_args(words)
    results, model = Results(arguments.output / "image_ablations.jsonl"), weights_there()
    results.compute({"kind": "machine", "model": model}, machine)
    bench = Bench(results)
    if "C" in arguments.tables:
        chosen = [each for each in ABLATIONS if arguments.only is None or each.label in arguments.only]
        for ablation, concept in tqdm([(a, c) for a in chosen for c in CONCEPTS], desc="table C"):
            key = {"kind": "ablation", "model": model, "label": ablation.label, "concept": concept}
            results.compute(key, lambda a=ablation, c=concept: bench.ablation(c, a))
    if "D" in arguments.tables:
        for pair in tqdm(PAIRS, desc="table D"):
            key = {"kind": "composition", "model": model, "pair": list(pair)}
            results.compute(key, lambda pair=pair: bench.composition(pair))
    page = report(results, model)
    (arguments.output / "image_ablations.md").write_text(page, encoding="utf-8")
    print(page)


if __name__ == "__main__":
    main()
