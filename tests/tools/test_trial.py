"""A small slice of the trial: every part of it, with few tries, and the mutations are seeded."""

from __future__ import annotations

import warnings
from pathlib import Path
from random import Random

import pytest

from tools.trial import __main__ as trial
from tools.trial import files, hostile, interruptions, kills, running, tiny
from tools.trial.counts import Counts, in_a_child
from tools.trial.mutations import mutated


@pytest.fixture
def counts() -> Counts:
    return Counts("slice")


def assert_fine(counts: Counts, tries: int) -> None:
    assert counts.tries == tries and not counts.faults, counts.faults


def test_mutated_steering_files(counts: Counts, tmp_path: Path) -> None:
    files.steering_mutants(counts, 200, 11, tmp_path)
    assert_fine(counts, 200)
    assert {"accepted", "refused"} <= counts.ends.keys()


def test_mutated_checkpoints(counts: Counts, tmp_path: Path) -> None:
    files.checkpoint_mutants(counts, 60, 12, tmp_path)
    assert_fine(counts, 60)


def test_kills(counts: Counts, tmp_path: Path) -> None:
    kills.kills(counts, 6, 13, tmp_path / "kills")
    assert_fine(counts, 6)


def test_short_memory(counts: Counts) -> None:
    interruptions.short_memory(counts, 4, 14)
    assert_fine(counts, 4)


def test_interrupts_of_fuse(counts: Counts) -> None:
    interruptions.fuse_interrupts(counts, 20, 15)
    assert counts.tries == 20 and not [end for end in counts.ends if end.startswith("weights")]


def test_interrupts_of_a_steered_model(counts: Counts) -> None:
    interruptions.named_interrupts(counts, 10, 18)
    assert not counts.faults, counts.faults


def test_threads(counts: Counts) -> None:
    running.threads(counts, 24, 16)
    assert_fine(counts, 24)


def test_faults_in_forwards(counts: Counts) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        running.faults(counts, 12, 17)
    assert_fine(counts, 12)


def test_escapes(counts: Counts, tmp_path: Path) -> None:
    hostile.escapes(counts, tmp_path)
    assert_fine(counts, 7 * len(hostile.ESCAPES))


def test_mutations_are_seeded_and_change_something(tmp_path: Path) -> None:
    whole = tiny.steerings(tmp_path)[0]
    one, two = ([mutated(whole, random) for _ in range(30)] for random in (Random(1), Random(1)))
    assert one == two and sum(each != whole for each in one) > 25


def test_faults_are_counted_and_told(counts: Counts) -> None:
    def fail() -> None:
        raise KeyError("x")

    counts.attempt(fail, "case")
    counts.attempt(lambda: None)
    assert (counts.tries, counts.bad) == (2, 1)
    assert "KeyError" in counts.faults["untyped error"] and "| slice | 2 |" in counts.line()


def test_the_memory_of_a_child_is_measured(counts: Counts) -> None:
    in_a_child(counts, lambda: bytearray(b"x") * (300 * 2**20), "300 MB")
    assert 280 * 2**20 < counts.bytes < 400 * 2**20 and "large" in counts.faults


def test_the_report_stands_between_its_marks(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"a\n{trial.START}\nold\n{trial.END}\nb\n")
    trial.write_report(page, trial.table([Counts("part")], 1.0, 0))
    text = page.read_text()
    assert text.startswith("a\n") and text.endswith("\nb\n") and "| part | 0 |" in text and "old" not in text
