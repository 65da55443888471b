"""The image rows of the paper by name: DMD2 (one-step SDXL) and its 15 concepts, with a hub and a GPU.

    python -m benchmarks.images.paper_images --output out/paper_images
    python -m benchmarks.images.paper_images --pages --output out/paper_images    # then ask people

Per concept and method: 32 prompts with it and 32 without, a steering that removes it, then CLIPScore with
"A picture of …" and IMGScore (DINOv2-small) on 32 other prompts, whose captions no fit saw, at several
strengths; and CLIPScore of prompts without it under the steering's true inverse, which is to bring it in.
LinEAS as published is AdamW at 1e-4 on batches of 4, 1000 steps, no preserve prompts; LinEAS by intent is
this library's own setting; ITI-c and Lin-AcT act at the same norms of the UNet. Every cell is a line in
OUTPUT/images.jsonl and is computed once. --pages writes blind comparisons of LinEAS as published with each
other method, one HTML file each with --pairs prompts of every concept, which count what a person prefers.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.images.paper_training import fit_as_published
from benchmarks.report import machine, table
from benchmarks.results import Key, Results
from lineas.adapters.images.clip_score import ClipScore
from lineas.adapters.images.drawing import Drawer
from lineas.adapters.images.loading import load_pipeline
from lineas.adapters.intents import carry_out
from lineas.adapters.problems import fit, problem_for
from lineas.evaluation.images.blind_comparison import comparison_page
from lineas.evaluation.images.image_features import ImageFeatures
from lineas.evaluation.images.image_measures import image_measures
from lineas.evaluation.sweep import Measure, sweep_strengths
from lineas.intents.plan import Plan, plan_for
from lineas.prompts.banks import REMOVE
from lineas.prompts.concepts import Prompts, concept_prompts
from lineas.prompts.files import neutral_captions
from lineas.steering.steering import Steering

RECIPE = "dmd2"
CONCEPTS = {
    **dict.fromkeys(("vaporwave", "lush", "low-poly", "ukiyo-e", "fantasy"), "style"),
    **dict.fromkeys(("robots", "axolotl", "book", "car", "hourglass"), "object"),
    **dict.fromkeys(("macro", "fisheye", "bokeh", "underwater", "tilt-shift"), "perspective"),
}
STRENGTHS = (0.0, 0.25, 0.5, 0.75, 1.0)
CLIP = ("ViT-L-14", "openai")
PUBLISHED, BY_INTENT = "LinEAS as published", "LinEAS by intent"
CLOSED = {"Lin-AcT": "lin-act", "ITI-c": "iti-c"}
METHODS = (PUBLISHED, "Lin-AcT", "ITI-c", BY_INTENT)
PRINTED = {"ITI-c": (0.19, 0.24), "Lin-AcT": (0.18, 0.45), PUBLISHED: (0.18, 0.66)}
"""CLIPScore and IMGScore at λ = 1 over 15 concepts, of arXiv 2503.10679; CLIPScore is 0.161 unsteered."""
NOISE = 1000
Measures = Callable[[Sequence[str], str], dict[str, Measure]]
"""(prompts, text of the concept) -> measures by name."""


def plan_of(concept: str, count: int = 32, seed: int = 0) -> Plan:
    """The removal by intent, whose source and target prompts all methods get."""
    return plan_for(REMOVE, concept, kind=CONCEPTS[concept], count=count, seed=seed)


def prompts_apart(concept: str, plan: Plan, count: int = 32) -> tuple[Prompts, Prompts]:
    """Prompts with a concept and the same without it, of captions that are in none of the plan's prompts."""
    sets = plan.sets
    trained = "\n".join(
        text for texts in (sets.source, sets.target, sets.preserve, *sets.held_out) for text in texts
    ).lower()
    captions = [caption for caption in neutral_captions() if caption.lower() not in trained]
    made = concept_prompts(concept, CONCEPTS[concept], count, base=captions)
    return made.source, made.target


@dataclass(frozen=True)
class Bench:
    """A pipeline, how it is called, what is measured, and how much."""

    pipe: Any
    folder: Path
    measures: Measures
    recipe: Any = RECIPE
    count: int = 32
    held_out: int = 32
    steps: int | None = None
    """Of the methods that train, None as they are; fewer to try a run."""
    seed: int = 0

    def steering(self, method: str, concept: str) -> tuple[Steering, float | None]:
        """The fit of a method and its seconds, None from an earlier run."""
        path = self.folder / f"{concept}-{method}-{self.seed}.safetensors".replace(" ", "-")
        if path.is_file():
            return Steering.load(path), None
        began = time.perf_counter()
        steering = self._fitted(method, concept)
        steering.save(path)
        return steering, round(time.perf_counter() - began, 1)

    def _fitted(self, method: str, concept: str) -> Steering:
        plan = plan_of(concept, self.count, self.seed)
        source, target = plan.sets.source, plan.sets.target
        steps: dict[str, Any] = {"steps": self.steps} if self.steps else {}
        if method == PUBLISHED:
            problem = problem_for(self.pipe, source, target, recipe=self.recipe, seed=self.seed)
            return fit_as_published(problem, seed=self.seed, **steps)
        if method == BY_INTENT:
            return carry_out(self.pipe, plan.with_settings(**steps), recipe=self.recipe)
        return fit(self.pipe, source, target, method=CLOSED[method], recipe=self.recipe, seed=self.seed)

    def tests(self, concept: str) -> tuple[Prompts, Prompts]:
        """Prompts with the concept and without it, to measure on."""
        return prompts_apart(concept, plan_of(concept, self.count, self.seed), self.held_out)

    def cell(self, method: str, concept: str) -> dict[str, Any]:
        """Removal over strengths, and injection by the true inverse where there is one."""
        steering, seconds = self.steering(method, concept)
        with_it, without = self.tests(concept)
        text = f"A picture of {concept}"
        removed = self._swept(steering, with_it, text, STRENGTHS)
        told = {"seconds": seconds, "strengths": list(STRENGTHS), "removed": removed}
        if any(map.kind != "affine" for map in steering.maps.values()):
            return {**told, "injected": None}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # units that had to be limited are in the notes
            inverse = steering.inverse()
        return {**told, "injected": self._swept(inverse, without, text, (0.0, 1.0))}

    def _swept(
        self, steering: Steering, prompts: Sequence[str], text: str, strengths: Sequence[float]
    ) -> dict[str, list[float]]:
        draw = Drawer(self.pipe, [steering], recipe=self.recipe, seed=NOISE)
        chosen = self.measures(prompts, text)
        sweep = sweep_strengths(lambda strength: draw(prompts, strength), strengths, chosen)
        return {name: list(sweep.values(name)) for name in chosen}

    def page(self, other: str, concepts: Sequence[str], pairs: int) -> str:
        """A blind comparison of LinEAS as published with another method, as HTML."""
        prompts: list[str] = []
        images: tuple[list[Any], ...] = ([], [], [])
        for concept in concepts:
            chosen = self.tests(concept)[0][:pairs]
            prompts += [f"{text} (without: {concept})" for text in chosen]
            for shown, name in zip(images, (PUBLISHED, other, None), strict=True):
                steerings = [self.steering(name, concept)[0]] if name else []
                shown += Drawer(self.pipe, steerings, recipe=self.recipe, seed=NOISE)(chosen)
        first, second, reference = images
        question = "Which image shows less of it, and more of all the rest?"
        names = (PUBLISHED, other)
        return comparison_page(prompts, first, second, names, reference=reference, question=question)


def run(bench: Bench, methods: Sequence[str], concepts: Sequence[str]) -> Results:
    """Fit and measure what is not in the results yet, all concepts of a method after the other."""
    results = Results(bench.folder / "images.jsonl")
    results.compute({"kind": "machine"}, machine)
    for method in methods:
        for concept in concepts:
            results.compute(_key(bench, method, concept), lambda m=method, c=concept: bench.cell(m, c))
            (bench.folder / "images.md").write_text(report(results), encoding="utf-8")
    return results


def _key(bench: Bench, method: str, concept: str) -> Key:
    key = {"kind": "row", "method": method, "concept": concept, "seed": bench.seed}
    return key | {name: getattr(bench, name) for name in ("count", "held_out", "steps")}


def report(results: Results) -> str:
    """A row per method with the mean over its concepts, then each concept."""
    cells: dict[str, dict[str, Any]] = {}
    for key, value in results.find(kind="row"):
        cells.setdefault(key["method"], {})[key["concept"]] = value
    if not cells:
        return ""
    names = list(next(iter(next(iter(cells.values())).values()))["removed"])
    heads = ["method", "concepts", *(f"{name}, λ 0 → 1" for name in names)]
    heads += [f"{name} by the inverse, 0 → 1" for name in names] + ["CLIPScore, IMGScore in the paper"]
    means = [
        [method, str(len(each)), *_figures(names, list(each.values())), _printed(method)]
        for method, each in cells.items()
    ]
    each_of = [
        [method, concept, *_figures(names, [value]), ""]
        for method, each in cells.items() for concept, value in each.items()
    ]  # fmt: skip
    made = f"Measured with `python -m benchmarks.images.paper_images` on {results.get({'kind': 'machine'})}."
    parts = [f"# The paper's images\n\n{made}", table(heads, means), table(["method", *heads[1:]], each_of)]
    return "\n\n".join(parts) + "\n"


def _figures(names: Sequence[str], values: Sequence[Any]) -> Iterator[str]:
    for part in ("removed", "injected"):
        there = [value[part] for value in values if value[part]]
        for name in names:
            ends = [sum(each[name][i] for each in there) / len(there) for i in (0, -1)] if there else []
            yield " → ".join(f"{end:.3f}" for end in ends) or "–"


def _printed(method: str) -> str:
    return "{:.2f}, {:.2f}".format(*PRINTED[method]) if method in PRINTED else "–"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--concepts", nargs="+", default=list(CONCEPTS), choices=list(CONCEPTS))
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=METHODS)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, default=Path("out/paper_images"))
    parser.add_argument("--pages", action="store_true", help="write the blind comparisons instead")
    parser.add_argument("--pairs", type=int, default=4, help="of each concept in a blind comparison")
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    clip, features = ClipScore.load(*CLIP), ImageFeatures.load()
    bench = Bench(
        load_pipeline(RECIPE), arguments.output,
        lambda prompts, text: image_measures(prompts, clip, features, text), seed=arguments.seed,
    )  # fmt: skip
    if not arguments.pages:
        run(bench, arguments.methods, arguments.concepts)
        print((arguments.output / "images.md").read_text(encoding="utf-8"))
        return
    for other in METHODS[1:]:
        path = arguments.output / f"{PUBLISHED} or {other}.html".replace(" ", "-")
        path.write_text(bench.page(other, arguments.concepts, arguments.pairs), encoding="utf-8")
        print(path)


if __name__ == "__main__":
    main()
