"""Every method on a real language model and on the bundled image model: what it costs and what it does.

    python benchmarks/methods.py language --output out/methods
    python benchmarks/methods.py image --output out/methods

Rude sentences are steered to civil ones (SmolLM2-135M-Instruct, see language_defaults.py for its packages);
"at night" is removed from images of the bundled model. Nothing is tuned per method, all act at strength 1.
Seconds are CPU time, which other work on the machine does not change. Written after each method:
methods_language.md or methods_image.md, and the same as json.
"""

from __future__ import annotations

import argparse
import json
import math
import platform
import re
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from lineas.apply import steer
from lineas.errors import LineasError
from lineas.methods.registry import method_named
from lineas.methods.transport_cost import transport_cost
from lineas.problem import Problem
from lineas.steering import Steering

Run = tuple[str, str, dict[str, Any]]
"""Title, method, options."""

CLOSED: list[Run] = [
    ("Lin-AcT", "lin-act", {}),
    ("Lin-AcT, observed range", "lin-act", {"support": "observed"}),
    ("Lin-AcT, target steered too", "lin-act", {"target_rows": "steered"}),
    ("Lin-AcT at once", "lin-act", {"order": "at_once"}),
    ("Mean-AcT", "mean-act", {}),
    ("ITI-c", "iti-c", {}),
    ("CAA", "caa", {}),
    ("AurA", "aura", {}),
]


class WordReward:
    """Mean log-odds of the words of a text to be civil, from two sets of sentences: naive Bayes."""

    def __init__(self, bad: Sequence[str], good: Sequence[str]) -> None:
        self._bad, self._good = (Counter(w for text in each for w in _words(text)) for each in (bad, good))
        self._known = len(self._bad | self._good)

    def __call__(self, texts: Sequence[str]) -> list[float]:
        return [self._score(_words(text)) for text in texts]

    def _score(self, words: list[str]) -> float:
        odds = [self._log(self._good, word) - self._log(self._bad, word) for word in words]
        return sum(odds) / max(1, len(odds))

    def _log(self, counts: Counter[str], word: str) -> float:
        return math.log((counts[word] + 1) / (counts.total() + self._known))


def _words(text: str) -> list[str]:
    return re.findall(r"[a-z']+", text.lower())


def language(folder: Path, only: Sequence[str]) -> None:
    from language_defaults import CIVIL, OPENINGS, PRESERVE, RUDE, continuation, lines, load, perplexity

    from lineas.adapters.language import LanguageProblem

    model, tokenizer, name = load(None)
    rude, civil = lines(RUDE), lines(CIVIL)
    problem = LanguageProblem(model, tokenizer, rude, civil, lines(PRESERVE))

    @torch.no_grad()
    def measured() -> dict[str, Any]:
        some = range(8)
        losses = {g: problem.text_loss(g, some).mean().item() for g in ("source", "target")}
        text = continuation(model, tokenizer, OPENINGS[0])
        return {
            "perplexity": perplexity(model, tokenizer),
            "civil − rude loss": losses["target"] - losses["source"],
            "continuation": text,
        }

    reward = WordReward(rude, civil)
    runs: list[Run] = [
        *CLOSED,
        ("LinEAS, 50 steps", "lineas", {"steps": 50}),
        ("ReFT", "reft", {}),
        ("LoFiT", "lofit", {}),
        ("LoFiT with a reward", "lofit", {"reward": reward, "steps": 20, "selection_steps": 5}),
    ]
    table(f"{name}, 32 + 32 sentences", problem, model, measured, runs, folder / "methods_language", only)


def image(folder: Path, only: Sequence[str]) -> None:
    from lineas.adapters import load_pipeline, problem_for
    from lineas.evaluation.drawing import Drawer
    from lineas.evaluation.image_change import mean_square_change
    from lineas.scenes import Detector, concept_sets

    pipe, sets, detector = (
        load_pipeline("scenes"),
        concept_sets("time", "night", held_out=32),
        Detector.load(),
    )
    problem = problem_for(pipe, sets.source, sets.target, sets.preserve)

    runs: list[Run] = [*CLOSED, ("LinEAS, 50 steps", "lineas", {"steps": 50})]
    draw = Drawer(pipe, [], seed=1000, batch=16)
    unchanged = draw(sets.held_out_without)

    def measured() -> dict[str, Any]:
        night, other = draw(sets.held_out_with), draw(sets.held_out_without)
        return {
            "night found": sum(("time", "night") in found for found in detector.found(night)) / len(night),
            "other images changed": mean_square_change(other, unchanged).mean().item(),
        }

    title = f"bundled model, {len(sets.source)} + {len(sets.target)} prompts"
    table(title, problem, pipe, measured, runs, folder / "methods_image", only)


def table(
    title: str,
    problem: Problem,
    model: Any,
    measured: Callable[[], dict[str, Any]],
    runs: Sequence[Run],
    path: Path,
    only: Sequence[str],
) -> None:
    """Fit, measure and write, one row after the other."""
    machine = f"{platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}"
    rows: dict[str, dict[str, Any]] = {
        "none": {"CPU seconds": 0.0, "cost": transport_cost(problem), **measured()}
    }
    for name, method, options in runs:
        if only and name not in only:
            continue
        chosen, began = method_named(method), time.process_time()
        try:
            steering: Steering = chosen.fit(problem, chosen.config.preset("fast", **options), None)
        except LineasError as error:
            rows[name] = {"CPU seconds": time.process_time() - began, "failed": str(error)}
            continue
        row: dict[str, Any] = {"CPU seconds": time.process_time() - began}
        row["cost"] = transport_cost(problem, steering)
        row["units"] = f"{1 - steering.sparsity:.1%}"
        with steer(model, steering):
            row |= measured()
        rows[name] = row
        write(path, f"{title}, {machine}", rows)


def write(path: Path, head: str, rows: dict[str, dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.with_suffix(".json").write_text(json.dumps({"head": head, "rows": rows}, indent=1))
    columns = list(dict.fromkeys(column for row in rows.values() for column in row))
    text = [head, "", "| method | " + " | ".join(columns) + " |", "|---" * (len(columns) + 1) + "|"]
    for name, row in rows.items():
        cells = [f"{v:.4g}" if isinstance(v := row.get(c, ""), float) else str(v) for c in columns]
        text.append(f"| {name} | " + " | ".join(cells) + " |")
    path.with_suffix(".md").write_text("\n".join(text) + "\n")
    print(text[-1], flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=("language", "image"))
    parser.add_argument("--only", nargs="+", default=[], help="rows to run by title, all when left out")
    parser.add_argument("--output", type=Path, default=Path("out/methods"))
    options = parser.parse_args()
    {"language": language, "image": image}[options.what](options.output, options.only)


if __name__ == "__main__":
    main()
