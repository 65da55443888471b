"""Remove concepts from the bundled model and count: what is gone, what stayed, what the inverse brings in.

    python -m benchmarks.images.erasure --output docs/results
    python -m benchmarks.images.erasure --variants "LinEAS" Lin-AcT --concepts time:night object:clock

Table B. Every variant sees the same prompts and noise. Each row is a line in OUTPUT/erasure.jsonl and is
computed once for the weights that are there, and again where a strength is asked for that it lacks; a run
that is cut off goes on where it was, and --render makes erasure.md and its figures from what is there.
Pictures of each concept go to PICTURES.
"""

from __future__ import annotations

import argparse
import hashlib
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tqdm import tqdm

from benchmarks.images.erasure_report import write_report
from benchmarks.report import machine
from benchmarks.results import Results
from lineas import fit
from lineas.adapters.images.drawing import Drawer
from lineas.evaluation.images.clip_score import ClipScore
from lineas.evaluation.images.concept_report import ConceptReport, concept_report
from lineas.intents.settings import REMOVING
from lineas.pictures.contact_sheet import strength_sheet
from lineas.scenes.bundled import CLIP, WEIGHTS, load_pipeline
from lineas.scenes.concepts import ConceptSets, concept_sets
from lineas.scenes.detector import Detector
from lineas.scenes.grammar import PLACES, TIMES, WEATHERS, parse
from lineas.steering.steering import Steering

CONCEPTS = (
    "time:night", "weather:rain", "place:forest", "place:city", "style:pixel art", "style:sepia",
    "colour:red", "colour:pink", "object:clock", "object:elephant",
)  # fmt: skip
STRENGTHS = (0.0, 0.25, 0.5, 0.75, 1.0, 1.25)
NOISE = 5000
"""Seed of the measured images; the trainings' noise starts at 0."""
END_TO_END: dict[str, Any] = {name: REMOVING[name] for name in ("sites", "steer")}
VARIANTS: dict[str, dict[str, Any]] = {
    "LinEAS": REMOVING,
    "LinEAS, no preserve": {**REMOVING, "preserve_weight": 0.0},
    "LinEAS affine": END_TO_END,
    "LinEAS, cost at the text encoder": {"sites": "text", "map": "gated"},
    "LinEAS on UNet norms": {},
    "LinEAS on UNet norms, no preserve": {"preserve_weight": 0.0},
    "Lin-AcT": {"method": "lin-act"},
    "Mean-AcT": {"method": "mean-act"},
    "ITI-c": {"method": "iti-c"},
    "CAA": {"method": "caa"},
    "Lin-AcT at the text encoder": {"method": "lin-act", "sites": "text"},
    "Mean-AcT at the text encoder": {"method": "mean-act", "sites": "text"},
    "ITI-c at the text encoder": {"method": "iti-c", "sites": "text"},
    "CAA at the text encoder": {"method": "caa", "sites": "text"},
}
"""Changes against the defaults, by name: the method, where it steers, by which maps. LinEAS is the demo's."""


@dataclass
class Bench:
    """The model, what reads its images, and how much is measured."""

    pipe: Any
    detector: Detector
    clip: Any
    steps: int
    count: int
    held_out: int
    folder: Path
    unsteered: dict[tuple[str, ...], Any] = field(default_factory=dict)
    """Images by prompts, which all variants of a concept are compared with."""

    def row(self, concept: str, variant: str, strengths: Sequence[float]) -> dict[str, Any]:
        """Fit one variant on one concept, draw, and count."""
        kind, name = concept.split(":")
        sets = concept_sets(kind, name, self.count, held_out=self.held_out)
        start, began = time.process_time(), time.perf_counter()
        steering = self.fitted(sets, VARIANTS[variant])
        seconds = {"cpu seconds": time.process_time() - start, "seconds": time.perf_counter() - began}
        measure = self.measure(kind, name)
        report = measure(steering, sets.held_out_with, sets.held_out_without, strengths)
        inverse = self.injected(steering, sets, measure)
        shown = [*sets.held_out_with[:4], *sets.held_out_without[:2]]
        self.picture(f"{kind}_{name}_{variant}", steering, shown, strengths)
        return {
            **{name: round(value, 1) for name, value in seconds.items()},
            "injected": inverse.as_dict()["strengths"][-1] if inverse else None,
            **report.as_dict(),
        }

    def fitted(self, sets: ConceptSets, changes: dict[str, Any]) -> Steering:
        options = dict(changes)
        preserve = sets.preserve
        if options.get("method", "lineas") == "lineas":
            options["steps"] = self.steps
        else:
            preserve = None  # they have no use for it
        with tqdm(total=self.steps, leave=False, desc="training") as bar:
            return fit(
                self.pipe, sets.source, sets.target, preserve, recipe="scenes",
                progress=lambda _: bar.update() and None, **options,
            )  # fmt: skip

    def measure(self, kind: str, name: str) -> Callable[..., ConceptReport]:
        """(steering, prompts with, prompts without, strengths) -> report."""
        text = {**PLACES, **TIMES, **WEATHERS}.get(name, name)

        def measured(
            steering: Steering, inside: Any, cross: Any, strengths: Sequence[float]
        ) -> ConceptReport:
            draw = Drawer(self.pipe, [steering], recipe="scenes", seed=NOISE, batch=32)

            def drawn(prompts: Sequence[str], strength: float) -> Any:
                if strength:
                    return draw(prompts, strength)
                if tuple(prompts) not in self.unsteered:
                    self.unsteered[tuple(prompts)] = draw(prompts, 0.0)
                return self.unsteered[tuple(prompts)]

            return concept_report(
                drawn, self.detector.found, (kind, name), inside, cross, strengths,
                named=lambda prompt: parse(prompt).visible(), clip=self.clip, text=text,
            )  # fmt: skip

        return measured

    def injected(
        self, steering: Steering, sets: ConceptSets, measure: Callable[..., ConceptReport]
    ) -> ConceptReport | None:
        """The true inverse on prompts without the concept; None for maps that have none."""
        if any(map.kind != "affine" for map in steering.maps.values()):
            return None
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # limited units are in the notes
            inverse = steering.inverse()
        return measure(inverse, sets.held_out_without, sets.held_out_with, (1.0,))

    def picture(
        self, name: str, steering: Steering, prompts: Sequence[str], strengths: Sequence[float]
    ) -> None:
        """A sheet of these prompts over strengths."""
        draw = Drawer(self.pipe, [steering], recipe="scenes", seed=NOISE, batch=8)
        columns = [draw(prompts, strength) for strength in strengths]
        sheet = strength_sheet(columns, strengths, prompts, head="strength ")
        self.folder.mkdir(parents=True, exist_ok=True)
        sheet.save(self.folder / f"{name}.png".replace(" ", "_").replace(",", ""))


def weights() -> str:
    """Which weights were measured: rows of other weights are not shown."""
    digest = hashlib.sha256()
    for path in sorted((WEIGHTS / "pipeline").rglob("*.safetensors")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def main(words: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--concepts", nargs="+", default=list(CONCEPTS))
    parser.add_argument("--variants", nargs="+", default=list(VARIANTS), choices=list(VARIANTS))
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--count", type=int, default=32, help="prompts in each training set")
    parser.add_argument("--held-out", type=int, default=64)
    parser.add_argument("--strengths", nargs="+", type=float, default=list(STRENGTHS))
    parser.add_argument("--output", type=Path, default=Path("out/results"))
    parser.add_argument("--pictures", type=Path, default=Path("out/erasure"))
    parser.add_argument("--render", action="store_true", help="only make the tables from what is there")
    arguments = parser.parse_args(words)
    results, model, wanted = Results(arguments.output / "erasure.jsonl"), weights(), arguments.strengths
    if not arguments.render:
        bench = Bench(
            load_pipeline(), Detector.load(), ClipScore.load(CLIP), arguments.steps, arguments.count,
            arguments.held_out, arguments.pictures,
        )  # fmt: skip
        results.compute({"kind": "machine", "model": model}, machine)
        cells = [(concept, variant) for variant in arguments.variants for concept in arguments.concepts]
        for concept, variant in tqdm(cells, desc="rows"):
            key = {"kind": "row", "model": model, "concept": concept, "variant": variant}
            key |= {name: getattr(arguments, name) for name in ("steps", "count", "held_out")}
            measured = {each["strength"] for each in (results.get(key) or {"strengths": []})["strengths"]}
            if not measured.issuperset(wanted):
                results.forget(key)
            cell = (concept, variant, sorted({0.0, 1.0, *wanted} | measured))
            results.compute(key, lambda cell=cell: bench.row(*cell))
    for path in write_report(results, model, arguments.output, list(VARIANTS), list(CONCEPTS)):
        print(path)


if __name__ == "__main__":
    main()
