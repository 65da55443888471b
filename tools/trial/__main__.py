"""The trial: hostile files, kills, interrupts and short memory, counted. See docs/reliability.md.

`python -m tools.trial` runs all of it on one thread in some minutes; exit code 1 says that something failed.
"""

from __future__ import annotations

import argparse
import platform
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import torch

from tools.trial import comfyui, files, hostile, interruptions, kills, running, tiny
from tools.trial.counts import Counts, measured

START, END = "<!-- trial -->", "<!-- end of trial -->"
Part = Callable[[Counts], None]


def parts(scale: float, seed: int, folder: Path) -> dict[str, Part]:
    """Every part by its name, with the number of its tries scaled; those without a number run whole."""

    def many(number: int) -> int:
        return max(4, round(number * scale))

    return {
        "mutated steering files": lambda c: files.steering_mutants(c, many(15_000), seed, folder),
        "mutated checkpoints": lambda c: files.checkpoint_mutants(c, many(5_000), seed, folder),
        "files made to fill the memory": lambda c: files.bombs(c, folder),
        "kills during a save": lambda c: kills.kills(c, many(300), seed, folder / "kills"),
        "interrupts in fuse and unfuse": lambda c: interruptions.fuse_interrupts(c, many(2_000), seed),
        "interrupts in SteeredModel": lambda c: interruptions.named_interrupts(c, many(1_000), seed),
        "short memory in a fit": lambda c: interruptions.short_memory(c, many(400), seed),
        "threads": lambda c: running.threads(c, many(1_000), seed),
        "faults in forwards": lambda c: running.faults(c, many(1_200), seed),
        "faults in ComfyUI": lambda c: comfyui.faults(c, many(400), seed),
        "hostile task files": lambda c: hostile.task_files(c, folder),
        "escapes in a file's texts": lambda c: hostile.escapes(c, folder),
        "hostile command lines": lambda c: hostile.command_lines(c, folder),
    }


def run(scale: float, seed: int, only: str = "", seconds: float = 900.0) -> list[Counts]:
    """Run the parts whose name holds `only`, while there is time. One thread."""
    torch.set_num_threads(1)
    began, done = time.monotonic(), []
    tiny.trainer().step()  # what torch imports with the first step belongs to no part
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name, part in parts(scale, seed, Path(folder)).items():
            if only not in name:
                continue
            if time.monotonic() - began > seconds:
                done.append(Counts(f"{name}: not run, the time was up"))
                continue
            done.append(measured(Counts(name), part))
            print(done[-1].line(), flush=True)
            for end, fault in done[-1].faults.items():
                print(f"    {end}: {fault}", flush=True)
    return done


def table(done: list[Counts], scale: float, seed: int) -> str:
    names = ("part", "tries", "how they ended", "faults", "longest (CPU)", "memory above the start", "time")
    head = [f"| {' | '.join(names)} |", "|---" * len(names) + "|"]
    machine = f"Python {platform.python_version()}, torch {torch.__version__}, one thread"
    lines = [f"Scale {scale:g}, seed {seed}; {machine}.", "", *head, *(each.line() for each in done)]
    return "\n".join(lines)


def write_report(path: Path, text: str) -> None:
    """Put the table between the two marks of a page."""
    before, _, rest = path.read_text(encoding="utf-8").partition(START)
    _, _, after = rest.partition(END)
    path.write_text(f"{before}{START}\n{text}\n{END}{after}", encoding="utf-8")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tools.trial", description=__doc__)
    parser.add_argument("--scale", type=float, default=1.0, metavar="X", help="Share of the tries (1).")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="Seed of what is tried (0).")
    parser.add_argument("--only", default="", metavar="WORD", help="Only the parts whose name holds this.")
    parser.add_argument("--seconds", type=float, default=900.0, metavar="S", help="No part starts later.")
    parser.add_argument("--report", metavar="FILE", help="Write the table into this page.")
    args = parser.parse_args()
    done = run(args.scale, args.seed, args.only, args.seconds)
    if args.report:
        write_report(Path(args.report), table(done, args.scale, args.seed))
    return int(any(each.bad for each in done))


if __name__ == "__main__":
    sys.exit(main())
