"""Run the artist's list on a ComfyUI with this pack, and write what held into docs/comfyui.md.

    python -m tools.artist                              # on a server that it starts, from ~/ComfyUI
    python -m tools.artist --url http://127.0.0.1:8188  # on one that runs
    python -m tools.artist --only Samplers              # a part of the list
    python -m tools.artist --write                      # the table in docs/comfyui.md too

Needs what the tests of the servers need: aiohttp, and ComfyUI's requirements. Exit code 1: something
did not hold.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(REPOSITORY), str(REPOSITORY / "tests")]

from comfyui_server.client import ComfyClient  # noqa: E402
from comfyui_server.server import installations, running  # noqa: E402

from tools.artist import drawing, making  # noqa: E402
from tools.artist.desk import Desk, same  # noqa: E402

PAGE = REPOSITORY / "docs" / "comfyui.md"
START, END = "<!-- artist -->", "<!-- end of artist -->"


@dataclass(frozen=True)
class Outcome:
    """What became of one case; fault: "" where it held."""

    group: str
    name: str
    fault: str
    seconds: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--url", help="of a server that runs; else one is started")
    parser.add_argument("--only", default="", help="groups or cases whose name holds this")
    parser.add_argument("--write", action="store_true", help="write the table into docs/comfyui.md")
    options = parser.parse_args()
    with _server(options.url) as url:
        desk = Desk(ComfyClient(url), ComfyClient(url).get("/object_info"))
        version = desk.client.get("/system_stats")["system"]["comfyui_version"]
        outcomes = list(tried(desk, options.only))
    lines = table(outcomes, version)
    print("\n".join(lines))
    if options.write:
        before, _, rest = PAGE.read_text(encoding="utf-8").partition(START)
        text = "\n".join([START, *lines, END])
        PAGE.write_text(f"{before}{text}{rest.partition(END)[2]}", encoding="utf-8")
    sys.exit(any(outcome.fault for outcome in outcomes))


@contextmanager
def _server(url: str | None) -> Iterator[str]:
    if url:
        yield url
        return
    found = installations()
    if not found:
        sys.exit("No ComfyUI found. Set COMFYUI_PATH to its folder, or give --url.")
    with tempfile.TemporaryDirectory() as base, running(found[0], Path(base)) as server:
        yield server.url


def tried(desk: Desk, only: str = "") -> Iterator[Outcome]:
    """Every case whose group or name holds `only`; at the end the untouched picture is that of the start."""
    first = desk.drawn()
    desk.prepare()
    for group, name, do in chain(drawing.cases(desk), making.cases(desk)):
        if only in group or only in name:
            yield _told(group, name, lambda do=do: do(desk))
    yield _told("At the end", "the untouched picture, bit for bit", lambda: same(desk.drawn(), first))


def _told(group: str, name: str, do: Callable[[], Any]) -> Outcome:
    began = time.monotonic()
    try:
        do()
        fault = ""
    except Exception as error:  # the list goes on, and the fault is told
        fault = str(error) or type(error).__name__
    made = Outcome(group, name, fault, time.monotonic() - began)
    print(f"{made.seconds:6.1f} s  {group}: {name}  {fault[:300] or 'held'}", file=sys.stderr, flush=True)
    return made


def table(outcomes: list[Outcome], version: str) -> list[str]:
    """Lines of Markdown: a row for each group, and what did not hold."""
    held = sum(not outcome.fault for outcome in outcomes)
    lines = [
        f"On ComfyUI {version}, on the bundled model and the CPU, {held} of {len(outcomes)} held:",
        "",
        "| what | cases | held |",
        "|---|---|---:|",
    ]
    for group in dict.fromkeys(outcome.group for outcome in outcomes):
        of_it = [outcome for outcome in outcomes if outcome.group == group]
        names = "; ".join(outcome.name for outcome in of_it)
        lines.append(f"| {group} | {names} | {sum(not o.fault for o in of_it)} of {len(of_it)} |")
    faults = [f"- {o.group}, {o.name}: {o.fault[:300]}" for o in outcomes if o.fault]
    return lines + (["", "What did not hold:", "", *faults] if faults else [])


if __name__ == "__main__":
    main()
