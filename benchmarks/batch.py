"""A hundred concepts on the bundled model: one worker, two workers, and two of which one is killed.

    pip install "lineas[ray]"
    python -m benchmarks.batch --output docs/results

Each way is a `lineas batch` of the same manifest in a folder of its own; batch.md has seconds and steerings
an hour. `--concepts 4 --steps 2` tries it in minutes.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from benchmarks.report import machine, table
from lineas.scenes.detector import MANY, ONE

WAYS = {
    "one process": (),
    "Ray, two workers": ("--ray", "--workers", "2"),
    "the same, one killed": ("--ray", "--workers", "2"),
}


def concepts(count: int) -> list[str]:
    """Things that the bundled model knows, removed; then swaps among them."""
    known = [name for names in (MANY | ONE).values() for name in names]
    singles = [f'[[concepts]]\nremove = "{name}"\n' for name in known]
    objects = list(MANY["object"] if "object" in MANY else ONE["object"])
    pairs = (f'[[concepts]]\nswap = ["{a}", "{b}"]\n' for a, b in itertools.permutations(objects, 2))
    return list(itertools.islice(itertools.chain(singles, pairs), count))


def kill_one_when(table_file: Path, done: int, parent: int) -> None:
    """Kill a worker of Ray below `parent` once so many steerings are there."""
    while not (table_file.is_file() and table_file.read_text(encoding="utf-8").count("\n") > done):
        time.sleep(0.5)
    import psutil

    workers = [
        p for p in psutil.Process(parent).children(recursive=True) if "ray::work" in " ".join(p.cmdline())
    ]
    if workers:
        os.kill(workers[0].pid, signal.SIGKILL)


def run(way: str, manifest: Path, folder: Path, count: int) -> list[str]:
    """A row of the table."""
    words = [sys.executable, "-m", "lineas.cli", "batch", str(manifest), "--output", str(folder), *WAYS[way]]
    began = time.monotonic()
    with subprocess.Popen(words, stdout=subprocess.DEVNULL) as process:
        if "killed" in way:
            watch = (folder / "results.csv", count // 2, process.pid)
            threading.Thread(target=kill_one_when, args=watch, daemon=True).start()
        code = process.wait()
    seconds = time.monotonic() - began
    with open(folder / "results.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    fits = sum(float(row["seconds"]) for row in rows)
    made = sum(not row["error"] for row in rows)
    return [
        way,
        f"{made} of {count}",
        f"{seconds:.0f}",
        f"{3600 * made / seconds:.0f}",
        f"{fits:.0f}",
        str(code),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--concepts", type=int, default=100)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--output", type=Path, default=Path("docs/results"))
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        manifest = Path(place) / "many.toml"
        asked = concepts(args.concepts)
        manifest.write_text(f"[settings.all]\nsteps = {args.steps}\n{''.join(asked)}", "utf-8")
        rows = [run(way, manifest, Path(place) / way.replace(" ", "-"), len(asked)) for way in WAYS]
    heads = ["way", "steerings", "seconds", "an hour", "seconds of fits", "exit code"]
    head = (
        f"# {args.concepts} concepts on the bundled model\n\n`python -m benchmarks.batch`, on {machine()}.\n"
    )
    args.output.mkdir(parents=True, exist_ok=True)
    (args.output / "batch.md").write_text(f"{head}\n{table(heads, rows)}\n", "utf-8")


if __name__ == "__main__":
    main()
