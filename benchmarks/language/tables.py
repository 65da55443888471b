"""The language tables: A every method, B each at its best, C ablations, D two steerings composed.

    python -m benchmarks.language.tables A --model smollm2 --output docs/results
    python -m benchmarks.language.tables A C D --model gemma3-270m --seconds 3600

All may be cut off and go on. Table B is the comparison: each method at its own places, with tuned rates
where it is trained, at the place, rate and strength that are best on every third opening, reported on the
others with three fits. Added up from the seconds of table A's cells in docs/results, that is 8 hours for
smollm2 and 9 for gemma3-270m on that machine; --seconds cuts it up.

Every cell is a line in OUTPUT/language.jsonl and is computed once; tables and figures are made from the lines
that are there. The default is what the tables are for: 227 openings, 5 continuations of 20 tokens each, so
1135 in a cell, for each of three seeds. --quick runs everything on a tiny random model in a minute.

On a CPU, glibc gives the memory of every large tensor back to the system and asks for it anew. With
MALLOC_MMAP_MAX_=0 MALLOC_TRIM_THRESHOLD_=17179869184 in the environment it keeps it, and a model with a large
vocabulary writes a third faster.
"""

from __future__ import annotations

import argparse
import platform
from pathlib import Path

import torch
from tqdm import tqdm

from benchmarks.language.best import best
from benchmarks.language.cells import Bench, Budget, Corpus, Variant
from benchmarks.language.composition import composition
from benchmarks.language.models import load
from benchmarks.language.report import write_reports
from benchmarks.language.variants import STRENGTHS, ablations, chosen_of, methods
from benchmarks.results import Results


def main(words: list[str] | None = None) -> None:
    options = _parser().parse_args(words)
    if options.threads:
        torch.set_num_threads(options.threads)
    results = Results(options.output / "language.jsonl")
    if not options.render:
        bench, budget = _bench(options, results), Budget(options.seconds)
        results.compute({"kind": "machine", "model": bench.name}, machine)
        if "A" in options.tables:
            chosen = chosen_of(methods(options.quick), options.rows)
            run(bench, "A", chosen, options.strengths, options.seeds, budget)
        if "B" in options.tables:
            best(bench, options.quick, options.rows, options.fits, budget, options.also)
        if "C" in options.tables:
            chosen = chosen_of(ablations(options.quick, bench.model), options.rows)
            run(bench, "C", chosen, [1.0], options.seeds[:1], budget)
        if "D" in options.tables:
            composition(bench, options.quick, options.seeds, budget)
    for path in write_reports(results, options.output):
        print(path)


def run(
    bench: Bench,
    table: str,
    variants: list[Variant],
    strengths: list[float],
    seeds: list[int],
    budget: Budget,
) -> None:
    """Fill a table: the untouched model first, then every variant at every strength."""
    cells = [(None, 0.0), *((variant, strength) for variant in variants for strength in strengths)]
    for variant, strength in tqdm(cells, desc=f"table {table}", disable=None):
        if budget.over:
            print(f"table {table}: the time is up; run the same command again to go on.")
            return
        steerings = []
        if variant is not None:
            fitted = bench.fitted(variant)
            if isinstance(fitted, str):
                continue
            steerings = [fitted[0]]
        key = {"variant": variant.key() if variant else None, "strength": strength}
        label = f"{variant.label}, {strength:g}" if variant else "none"
        bench.results.compute({"kind": "row", "model": bench.name, "table": table, "label": label}, key.copy)
        bench.knowledge(key, steerings, [strength] * len(steerings))
        for seed in seeds:
            if budget.over:
                return
            bench.toxicity(key, steerings, [strength] * len(steerings), seed)


def _bench(options: argparse.Namespace, results: Results) -> Bench:
    corpus = Corpus.bundled()
    name = "tiny-llama" if options.quick else options.model
    dtype = getattr(torch, options.dtype) if options.dtype else None
    model, tokenizer, title = load(name, corpus.words(), dtype, options.device)
    title = f"{title}, {options.dtype}" if options.dtype else title
    bench = Bench(title, model, tokenizer, corpus, results, samples=options.samples, batch=options.batch,
                  folder=options.steerings)  # fmt: skip
    return bench.shortened() if options.quick else bench


def machine() -> dict[str, str]:
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else platform.machine()
    return {"device": device, "threads": str(torch.get_num_threads()), "torch": torch.__version__}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("tables", nargs="+", choices=("A", "B", "C", "D"))
    parser.add_argument("--model", default="smollm2", help="smollm2, gemma3-270m, a folder or a hub name")
    parser.add_argument("--rows", nargs="+", help="only these of A and C, by label or method")
    parser.add_argument("--strengths", nargs="+", type=float, default=list(STRENGTHS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2], help="of the continuations")
    parser.add_argument("--fits", type=int, default=3, help="of each method in table B")
    parser.add_argument("--also", nargs="+", type=float, default=[], help="strengths beside B's chosen ones")
    parser.add_argument("--samples", type=int, default=5, help="continuations per opening and seed")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--seconds", type=float, help="stop after the cell in which this time is up")
    parser.add_argument("--threads", type=int, default=0, help="CPU threads, 0 for all")
    parser.add_argument("--device", help="such as cuda")
    parser.add_argument("--dtype", choices=("float32", "bfloat16", "float16"), help="of the model")
    parser.add_argument("--output", type=Path, default=Path("out/results"))
    parser.add_argument("--steerings", type=Path, default=Path("out/steerings"), help="where fits are kept")
    parser.add_argument("--render", action="store_true", help="only make the tables from what is there")
    parser.add_argument("--quick", action="store_true", help="a tiny random model and few texts, as a test")
    return parser


if __name__ == "__main__":
    main()
