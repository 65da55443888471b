"""A hundred concepts on the bundled model: one process, and two workers of Ray of which one is killed.

    pip install "lineas[ray]"
    python -m benchmarks.batch --output docs/results

Each way is a `lineas batch` of the same manifest in a folder of its own; batch.md has seconds and steerings
an hour. Concepts come with prompts of their own and few steps: what is measured is what brings jobs to
workers, loads, saves and draws. `--concepts 4 --steps 2 --prompts 2` tries it in minutes.
"""

from __future__ import annotations

import argparse
import csv
import os
import subprocess
import sys
import tempfile
import threading
import time
from itertools import islice, product
from pathlib import Path

from benchmarks.report import machine, table
from lineas.scenes.grammar import COLOURS, OBJECTS, PLACES

WAYS = {
    "one process": (),
    "Ray, two workers": ("--ray", "--workers", "2"),
    "Ray, two workers, one killed": ("--ray", "--workers", "2"),
}


def manifest(folder: Path, concepts: int, steps: int, prompts: int) -> Path:
    """A file that asks for so many concepts, "red elephant" and so on, each with prompts of its own."""
    places = list(islice(PLACES.values(), prompts))
    (folder / "others.txt").write_text("\n".join(f"a tree {place}" for place in places), "utf-8")
    text = f"[settings.all]\nsteps = {steps}\n"
    for colour, thing in islice(product(COLOURS, OBJECTS), concepts):
        name = f"{colour} {thing}"
        (folder / f"{name}.txt").write_text("\n".join(f"a {name} {place}" for place in places), "utf-8")
        text += f'[[concepts]]\nremove = "{name}"\nexamples = "{name}.txt"\nothers = "others.txt"\n'
    path = folder / "many.toml"
    path.write_text(text, "utf-8")
    return path


def kill_one_when(table_file: Path, done: int, parent: int, killed: list[int]) -> None:
    """Kill a worker of Ray below `parent` once so many steerings are there."""
    import psutil

    while not (table_file.is_file() and table_file.read_text(encoding="utf-8").count("\n") > done):
        time.sleep(0.2)
    while not killed and psutil.pid_exists(parent):
        for process in psutil.Process(parent).children(recursive=True):
            if "ray::work" in " ".join(process.cmdline()):
                killed.append(process.pid)
                process.kill()
                return


def run(way: str, manifest: Path, folder: Path, count: int) -> list[str]:
    """A row of the table."""
    words = [sys.executable, "-m", "lineas.cli", "batch", str(manifest), "--output", str(folder), *WAYS[way]]
    began, killed = time.monotonic(), []
    # Ray's workers would give way to whatever else runs, which one process does not.
    with subprocess.Popen(
        words, stdout=subprocess.DEVNULL, env=os.environ | {"RAY_worker_niceness": "0"}
    ) as process:
        if "killed" in way:
            watch = (folder / "results.csv", count // 2, process.pid, killed)
            threading.Thread(target=kill_one_when, args=watch, daemon=True).start()
        code = process.wait()
    seconds = time.monotonic() - began
    with open(folder / "results.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    made = sum(not row["error"] for row in rows)
    fits = sum(float(row["seconds"]) for row in rows)
    told = (f"{seconds:.0f}", f"{3600 * made / seconds:.0f}", f"{fits:.0f}", str(len(killed)), str(code))
    return [way, f"{made} of {count}", *told]


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--concepts", type=int, default=100)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--prompts", type=int, default=6, help="of each set, 2 to 6")
    parser.add_argument("--ways", nargs="+", choices=list(WAYS), default=list(WAYS))
    parser.add_argument("--output", type=Path, default=Path("docs/results"))
    return parser.parse_args()


def main() -> None:
    args = parsed()
    heads = ["way", "steerings", "seconds", "an hour", "seconds of fits", "workers killed", "exit code"]
    head = (
        f"# {args.concepts} concepts on the bundled model\n\n`python -m benchmarks.batch`: {args.steps} "
        f"steps with {args.prompts} prompts a set, on {machine()}.\n"
    )
    args.output.mkdir(parents=True, exist_ok=True)
    rows = []
    with tempfile.TemporaryDirectory() as place:
        asked = manifest(Path(place), args.concepts, args.steps, args.prompts)
        for way in args.ways:
            rows.append(run(way, asked, Path(place) / way.replace(" ", "-"), args.concepts))
            (args.output / "batch.md").write_text(f"{head}\n{table(heads, rows)}\n", "utf-8")


if __name__ == "__main__":
    main()
