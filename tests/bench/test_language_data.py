"""The texts of the benchmarks: as many as claimed, and no text serves two purposes."""

from __future__ import annotations

import json
import re
from itertools import combinations
from pathlib import Path

DATA = Path(__file__).parents[2] / "benchmarks" / "language" / "data"
MORE = {f"more_{name}": 32 for name in ("rude", "civil", "sea", "plain")}
COUNTS = {"rude": 32, "civil": 32, "preserve": 96, "sea": 32, "music": 32, "plain_openings": 40, **MORE}
ALIKE = ({"rude", "civil"}, {"more_rude", "more_civil"})


def lines(name: str) -> list[str]:
    return (DATA / f"{name}.txt").read_text(encoding="utf-8").strip().splitlines()


def plain(text: str) -> str:
    return " ".join(re.findall(r"[a-z']+", text.lower()))


def grams(text: str, n: int = 6) -> set[str]:
    words = plain(text).split()
    return {" ".join(words[i : i + n]) for i in range(len(words) - n + 1)}


def questions() -> list[dict]:
    rows = (DATA / "everyday" / "everyday.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(row) for row in rows]


def test_there_are_as_many_as_claimed_and_none_twice() -> None:
    for name, count in COUNTS.items():
        assert len(set(map(plain, lines(name)))) == len(lines(name)) == count
    assert len(set(map(plain, lines("openings")))) == len(lines("openings")) >= 200
    assert len((DATA / "encyclopaedia.txt").read_text().split()) > 1500


def test_no_text_serves_two_purposes() -> None:
    """Not even a run of six words is shared between what is trained on, kept, continued and measured.

    Rude and civil sentences, which are trained on together, may be about the same.
    """
    sets = {name: lines(name) for name in (*COUNTS, "openings")}
    sets["encyclopaedia"] = (DATA / "encyclopaedia.txt").read_text(encoding="utf-8").split("\n\n")
    sets["questions"] = [row["question"] for row in questions()]
    shared = {name: {gram for text in texts for gram in grams(text)} for name, texts in sets.items()}
    whole = {name: {plain(text) for text in texts} for name, texts in sets.items()}
    for one, two in combinations(sets, 2):
        if {one, two} not in ALIKE:
            assert not shared[one] & shared[two], f"{one} and {two} share {shared[one] & shared[two]}"
        assert not whole[one] & whole[two], f"{one} and {two} share a text"


def test_questions_have_four_answers_and_the_right_ones_are_spread() -> None:
    rows = questions()
    assert len({plain(row["question"]) for row in rows}) == len(rows) >= 100
    assert all(len(set(row["choices"])) == 4 and row["answer"] in range(4) for row in rows)
    places = [row["answer"] for row in rows]
    assert all(len(rows) / 5 < places.count(place) < len(rows) / 3 for place in range(4))
