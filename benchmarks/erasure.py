"""Remove concepts from the bundled model and count: what is gone, what stayed, what came back by the inverse.

    python benchmarks/erasure.py --output docs/erasure

writes erasure.json, erasure.md and a picture per concept. Every variant sees the same prompts and noise.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
import warnings
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from lineas import TrainConfig, fit
from lineas.evaluation import contact_sheet
from lineas.evaluation.concept_report import ConceptReport, concept_report
from lineas.evaluation.drawing import Drawer
from lineas.evaluation.rates import monotonicity
from lineas.scenes import ConceptSets, Detector, concept_sets, load_clip, load_pipeline, parse
from lineas.steering import Steering

CONCEPTS = (
    "time:night", "weather:rain", "place:forest", "place:city", "style:pixel art", "style:sepia",
    "colour:red", "colour:pink", "object:clock", "object:elephant",
)  # fmt: skip
STRENGTHS = (0.0, 0.25, 0.5, 0.75, 1.0, 1.25)
NOISE = 5000
"""Seed of the measured images; the trainings' noise starts at 0."""
VARIANTS: dict[str, dict[str, Any]] = {
    "text, gated": {"map": "gated", "sites": "text", "steps": 300},
    "norms": {},
    "norms, no preserve": {"preserve_weight": 0.0},
}
"""Changes against the default options, by name."""


def fitted(pipe: Any, sets: ConceptSets, steps: int, changes: dict[str, Any]) -> Steering:
    options = {"steps": steps, **changes}
    sites = options.pop("sites", None)
    with tqdm(total=options["steps"], leave=False, desc="training") as bar:
        return fit(
            pipe, sets.source, sets.target, sets.preserve, sites=sites, recipe="scenes",
            progress=lambda _: bar.update() and None, **options,
        )  # fmt: skip


def injected(pipe: Any, steering: Steering, sets: ConceptSets, measure: Any) -> ConceptReport | None:
    """The true inverse on prompts without the concept; None for maps that have none."""
    if any(map.kind != "affine" for map in steering.maps.values()):
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # limited units are in the notes
        inverse = steering.inverse()
    return measure(inverse, sets.held_out_without, sets.held_out_with)


def row(
    concept: str, variant: str, seconds: float, report: ConceptReport, inverse: ConceptReport | None
) -> dict[str, Any]:
    at = report.at(1.0)
    presence = [figures.presence.value for figures in report.figures]
    return {
        "concept": concept,
        "variant": variant,
        "seconds": round(seconds, 1),
        "found unsteered": report.at(0.0).presence.value,
        "erased": at.erased.value,
        "erased at 1.25": report.at(1.25).erased.value,
        "rest kept": at.others_kept.value,
        "other prompts kept": at.cross_kept.value,
        "change of other prompts": at.cross_change,
        "IMGScore of other prompts": at.cross_img_score,
        "injected by the inverse": inverse.at(1.0).presence.value if inverse else None,
        "presence by strength": presence,
        "monotonicity": monotonicity(presence),
        "report": report.as_dict(),
    }


def table(rows: list[dict[str, Any]]) -> str:
    heads = [name for name in rows[0] if name not in ("presence by strength", "report")]

    def cell(name: str, value: Any) -> str:
        if value is None or isinstance(value, str):
            return value or "–"
        shown_as_it_is = ("seconds", "change of other prompts", "IMGScore of other prompts", "monotonicity")
        return f"{value:.3g}" if name in shown_as_it_is else f"{value:.1%}"

    lines = [" | ".join(heads), " | ".join("---" for _ in heads)]
    lines += [" | ".join(cell(name, each[name]) for name in heads) for each in rows]
    return "\n".join(f"| {line} |" for line in lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--concepts", nargs="+", default=CONCEPTS)
    parser.add_argument("--variants", nargs="+", default=list(VARIANTS), choices=list(VARIANTS))
    parser.add_argument("--steps", type=int, default=TrainConfig.preset("fast").steps)
    parser.add_argument("--count", type=int, default=32, help="prompts in each training set")
    parser.add_argument("--held-out", type=int, default=64)
    parser.add_argument("--output", type=Path, default=Path("docs/erasure"))
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    pipe, detector, clip, rows = load_pipeline(), Detector.load(), load_clip(), []
    for concept in arguments.concepts:
        kind, name = concept.split(":")
        sets = concept_sets(kind, name, arguments.count, held_out=arguments.held_out)

        def measure(
            steering: Steering, inside: Any, cross: Any, pair: tuple[str, str] = (kind, name)
        ) -> ConceptReport:
            draw = Drawer(pipe, [steering], recipe="scenes", seed=NOISE, batch=32)
            named = lambda text: parse(text).visible()  # noqa: E731
            return concept_report(
                draw, detector.found, pair, inside, cross, STRENGTHS, named=named, clip=clip
            )

        for variant in arguments.variants:
            start = time.perf_counter()
            steering = fitted(pipe, sets, arguments.steps, VARIANTS[variant])
            seconds = time.perf_counter() - start
            report = measure(steering, sets.held_out_with, sets.held_out_without)
            rows.append(row(concept, variant, seconds, report, injected(pipe, steering, sets, measure)))
            print(table(rows[-1:]).splitlines()[-1], flush=True)
            write(arguments.output, rows)
            draw = Drawer(pipe, [steering], recipe="scenes", seed=NOISE, batch=8)
            prompts = [*sets.held_out_with[:4], *sets.held_out_without[:2]]
            columns = [draw(prompts, strength) for strength in STRENGTHS]
            heads = [f"strength {strength:g}" for strength in STRENGTHS]
            sheet = contact_sheet([list(images) for images in zip(*columns, strict=True)], prompts, heads)
            sheet.save(arguments.output / f"{kind}_{name}_{variant}.png".replace(" ", "_"))


def write(folder: Path, rows: list[dict[str, Any]]) -> None:
    machine = f"{platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}"
    (folder / "erasure.json").write_text(json.dumps({"machine": machine, "rows": rows}, indent=1) + "\n")
    (folder / "erasure.md").write_text(f"Measured on {machine}.\n\n{table(rows)}\n")


if __name__ == "__main__":
    main()
