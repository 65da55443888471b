"""Several steerings at once, by default settings, on the bundled model: two removals, two additions, many.

    python -m benchmarks.images.intents --pictures intents        # makes the steerings; for sixteen, too:
    python -m benchmarks.images.intents --pictures intents --intents remove --concepts "in the fog" car
    python -m benchmarks.images.several --steerings intents --output docs/results

Each steering at its calibrated strength 1, one after the other. Joint rates beside the product of what each
does alone on the same prompts. The page is OUTPUT/several.md.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.report import machine, mean_of, table, text_of
from lineas.adapters.images.drawing import Drawer
from lineas.evaluation.rates import Rate, presence_rate
from lineas.prompts.banks import ADD, REMOVE
from lineas.scenes.bundled import load_pipeline
from lineas.scenes.detector import Detector
from lineas.scenes.grammar import Scene, prompt, random_scene, with_concept
from lineas.scenes.naming import named_concept
from lineas.steering.steering import Steering

Concept = tuple[str, str]
PAIRS = (
    ("at night", "clock"), ("in the city", "rain"), ("sepia", "elephant"), ("red", "at night"),
    ("pixel art", "in the forest"), ("vaporwave", "snow"), ("robot", "on the beach"), ("pink", "rain"),
)  # fmt: skip
MORE = ("in the fog", "car")
"""Removed beside those, to make sixteen."""
NOISE, PROMPTS = 9000, 32


class Bench:
    """The model, its detector, and the steerings of both intents by the words of their concepts."""

    def __init__(self, folder: Path) -> None:
        self.pipe, self.detector, self.folder = load_pipeline(), Detector.load(), folder

    def steering(self, intent: str, words: str) -> Steering:
        return Steering.load(self.folder / f"{intent}-{words.replace(' ', '-')}-0.safetensors")

    def shown(self, prompts: Sequence[str], steerings: Sequence[Steering]) -> list[frozenset[Concept]]:
        draw = Drawer(self.pipe, steerings, recipe="scenes", seed=NOISE, batch=16)
        return self.detector.found(draw(prompts))

    def pair(self, intent: str, words: Sequence[str]) -> dict[str, Any]:
        """Both at once, each alone, and prompting, on prompts in which both are wanted."""
        concepts = [named_concept(each) for each in words]
        scenes = [_open_to(scene, concepts) for scene in _scenes(PROMPTS, *concepts)]
        with_both = [prompt(_with(scene, concepts)) for scene in scenes]
        without = [prompt(scene) for scene in scenes]
        prompts, oracle = (without, with_both) if intent == ADD else (with_both, without)
        steerings = [self.steering(intent, each) for each in words]
        before = self.shown(prompts, [])
        rest = [
            [c for c in scene.visible() if c in shown and c not in concepts]
            for scene, shown in zip(scenes, before, strict=True)
        ]

        def done(shown: Iterable[frozenset[Concept]], wanted: Sequence[Concept]) -> Rate:
            return presence_rate(all((c in each) == (intent == ADD) for c in wanted) for each in shown)

        both = self.shown(prompts, steerings)
        alone = [done(self.shown(prompts, [s]), [c]) for s, c in zip(steerings, concepts, strict=True)]
        kept = presence_rate(c in each for each, those in zip(both, rest, strict=True) for c in those)
        return {
            "both": done(both, concepts),
            "alone": alone,
            "prompting": done(self.shown(oracle, []), concepts),
            "kept": kept,
        }

    def many(self, words: Sequence[str]) -> dict[str, Any]:
        """All removals at once, and composed into one file: each of its concepts, and prompts without any."""
        concepts = [named_concept(each) for each in words]
        steerings = [self.steering(REMOVE, each) for each in words]
        whole = steerings[0]
        for following in steerings[1:]:
            whole = whole.compose(following)
        rates = []
        for concept in concepts:
            prompts = [prompt(_with(scene, [concept])) for scene in _scenes(PROMPTS, *concepts)]
            before, after = self.shown(prompts, []), self.shown(prompts, [whole])
            rates.append(
                presence_rate(concept not in b for a, b in zip(before, after, strict=True) if concept in a)
            )
        scenes = list(_scenes(2 * PROMPTS, *concepts))
        prompts = [prompt(scene) for scene in scenes]
        before, after = self.shown(prompts, []), self.shown(prompts, [whole])
        named = [[c for c in scene.visible() if c in a] for scene, a in zip(scenes, before, strict=True)]
        kept = presence_rate(c in b for b, those in zip(after, named, strict=True) for c in those)
        return {"erased": dict(zip(words, rates, strict=True)), "kept": kept}


def _scenes(count: int, *without: Concept) -> Iterable[Scene]:
    """Scenes of one object without these concepts."""
    rng, made = np.random.default_rng(count), 0
    while made < count:
        scene = random_scene(rng)
        if len(scene.objects) == 1 and not {*without} & scene.concepts():
            made += 1
            yield scene


def _open_to(scene: Scene, concepts: Sequence[Concept]) -> Scene:
    """The scene without another place, time, weather, style or colour where a concept is one."""
    for kind, _ in concepts:
        if kind == "colour":
            scene = replace(scene, objects=tuple((name, None) for name, _ in scene.objects))
        elif kind != "object":
            scene = replace(scene, **{kind: None})  # type: ignore[arg-type]
    return scene


def _with(scene: Scene, concepts: Sequence[Concept]) -> Scene:
    rng = np.random.default_rng(0)
    for kind, name in concepts:
        if kind == "object":
            scene = Scene((*scene.objects, (name, None)), scene.place, scene.time, scene.weather, scene.style)
        else:
            scene = with_concept(_open_to(scene, [(kind, name)]), kind, name, rng)
    return scene


def _percent(rate: Rate) -> str:
    return f"{rate.value:.0%}"


def _pairs_table(intent: str, found: dict[tuple[str, str], dict[str, Any]]) -> str:
    rows = []
    for words, each in found.items():
        product = each["alone"][0].value * each["alone"][1].value
        rows.append(
            (" + ".join(words), *(_percent(r) for r in (each["both"], *each["alone"])), f"{product:.0%}",
             _percent(each["prompting"]), _percent(each["kept"]))
        )  # fmt: skip
    products = [each["alone"][0].value * each["alone"][1].value for each in found.values()]
    joint = text_of(mean_of([each["both"] for each in found.values()]))
    mean = (f"mean of {len(found)}", joint, "", "", f"{np.mean(products):.1%}", "", "")
    heads = (f"two {intent}", "both at once", "first alone", "second alone", "product", "prompting both",
             "rest kept")  # fmt: skip
    return table(heads, [*rows, mean])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--steerings", type=Path, default=Path("intents"))
    parser.add_argument("--output", type=Path, default=Path("docs/results"))
    arguments = parser.parse_args()
    bench = Bench(arguments.steerings)
    parts = [
        "# Several steerings at once",
        f"Bundled model, {PROMPTS} prompts each, steerings by default settings at strength 1, applied one "
        "after the other. Prompts of the pairs name no other place, time, weather, style or colour where a "
        "concept is one: a prompt that says another is not what two additions are for. "
        f"{machine()}. Made by benchmarks/images/several.py.",
    ]
    for intent, plural in ((REMOVE, "removals"), (ADD, "additions")):
        there = [words for words in PAIRS if all(_is_there(bench, intent, each) for each in words)]
        parts.append(_pairs_table(plural, {words: bench.pair(intent, words) for words in there}))
        print(parts[-1], flush=True)
    words = list(dict.fromkeys((*(w for pair in PAIRS for w in pair), *MORE)))
    words = [each for each in words if _is_there(bench, REMOVE, each)]
    many = bench.many(words)
    rows = [(name, str(rate)) for name, rate in many["erased"].items()]
    parts += [
        f"{len(words)} removals composed into one file; other prompts keep {many['kept']} of what they show.",
        table(("concept", "erased"), rows),
    ]
    print(parts[-2], json.dumps({k: v.value for k, v in many["erased"].items()}), flush=True)
    arguments.output.mkdir(parents=True, exist_ok=True)
    (arguments.output / "several.md").write_text("\n\n".join(parts) + "\n", encoding="utf-8")


def _is_there(bench: Bench, intent: str, words: str) -> bool:
    return (bench.folder / f"{intent}-{words.replace(' ', '-')}-0.safetensors").is_file()


if __name__ == "__main__":
    main()
