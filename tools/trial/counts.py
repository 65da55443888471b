"""What a part of the trial counted, and its line in the report."""

from __future__ import annotations

import json
import os
import resource
import time
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from lineas.errors import LineasError

SLOW_SECONDS, LARGE_BYTES = 5.0, 200 * 2**20


@dataclass
class Counts:
    """tries by how they ended; faults: the bad ones, with a few words on the first of each kind."""

    name: str
    ends: Counter[str] = field(default_factory=Counter)
    faults: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0
    bytes: int = 0
    longest: float = 0.0

    @property
    def tries(self) -> int:
        return sum(self.ends.values())

    @property
    def bad(self) -> int:
        return sum(count for end, count in self.ends.items() if end in self.faults)

    def add(self, end: str, fault: str | None = None) -> None:
        self.ends[end] += 1
        if fault is not None:
            self.faults.setdefault(end, fault)

    def attempt(self, action: Callable[[], object], what: str = "") -> None:
        """Run an action that may refuse: by a `LineasError` in plain letters, in time."""
        began = time.process_time()  # the machine may be busy with other things
        try:
            action()
        except LineasError as error:
            said = str(error)
            plain = all(sign.isprintable() or sign == "\n" for sign in said) and len(said) < 3000
            self.add(
                "refused" if plain else "refused unreadably", None if plain else f"{what}: {said[:200]!r}"
            )
        except Exception as error:
            where = traceback.extract_tb(error.__traceback__)[-1]
            self.add("untyped error", f"{what}: {type(error).__name__} at {where.filename}:{where.lineno}")
        else:
            self.add("accepted")
        spent = time.process_time() - began
        self.longest = max(self.longest, spent)
        if spent > SLOW_SECONDS:
            self.add("slow", f"{what}: {spent:.1f} s")

    def line(self) -> str:
        ends = ", ".join(f"{count} {end}" for end, count in sorted(self.ends.items()))
        return (
            f"| {self.name} | {self.tries} | {ends} | {self.bad} | {self.longest:.2f} s | "
            f"{self.bytes / 2**20:.0f} MB | {self.seconds:.0f} s |"
        )


def in_a_child(counts: Counts, action: Callable[[], object], what: str) -> None:
    """`attempt` in a process of its own, whose memory is told apart from what made the file."""
    read, write = os.pipe()
    child = os.fork()
    if not child:
        # A child starts without the parent's pages of files, so its own start is what counts.
        start = int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
        own = Counts(what)
        own.attempt(action, what)
        told = [own.ends, own.faults, own.longest, peak() - start]
        os.write(write, json.dumps(told).encode())
        os._exit(0)
    os.close(write)
    with open(read, "rb") as pipe:
        ends, faults, longest, grown = json.loads(pipe.read())
    os.waitpid(child, 0)
    counts.ends.update(ends)
    counts.faults.update(faults)
    counts.longest, counts.bytes = max(counts.longest, longest), max(counts.bytes, grown, 1)
    if grown > LARGE_BYTES:
        counts.add("large", f"{what}: {grown} bytes")


def measured(counts: Counts, part: Callable[[Counts], None]) -> Counts:
    """Run a part; the memory is how far it raised the highest that the process ever held."""
    before, began = peak(), time.perf_counter()
    part(counts)
    counts.seconds = time.perf_counter() - began
    if not counts.bytes:  # a part that measures its own is done with that
        counts.bytes = peak() - before
        if counts.bytes > LARGE_BYTES:
            counts.add("large", f"{counts.bytes} bytes")
    return counts


def peak() -> int:
    """The most bytes that the process ever held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
