"""Hostile task files, escapes in every text of a file, and hostile words on the command line."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from itertools import product
from pathlib import Path

from lineas.cli import main
from lineas.evaluation.language.task_files import read_task
from lineas.steering.provenance import Provenance
from lineas.steering.steering import Steering
from tools.trial import tiny
from tools.trial.counts import Counts
from tools.trial.task_files import HOSTILE

ESCAPES = (
    "\x1b[2J\x1b]0;owned\x07",
    "a\nlineas: saved",
    "a\r\x1b[1A",
    "\u202eevil",
    "\x9b31m",
    "\x00",
    "a\u2028b",
    "\x08" * 9,
)
WORDS = (
    "",
    " ",
    "\x00",
    "\x1b[2J",
    "n" * 300,
    "/dev/zero",
    "/",
    "..",
    "a/b/c",
    "nan",
    "1e400",
    "-1",
    "9" * 400,
    "0",
    "1e30",
    "\udce9",
    "a:b",
    "x:nan",
    "%s",
    "{}",
    "*",
    "[",
    "١",
    "∞",
    "--",
    "-x",
    "~",
    "$(touch ran)",
    "`touch ran`",
    ";touch ran",
)
COMMANDS = (
    ("info", "{}"),
    ("invert", "{}"),
    ("invert", "x.safetensors", "--output", "{}"),
    ("compose", "x.safetensors", "{}"),
    ("invert", "x.safetensors", "--force", "--min-scale", "{}"),
    ("compose", "x.safetensors", "{}", "--output", "o"),
    ("compose", "x.safetensors", "x.safetensors", "--output", "{}"),
    ("train", "--resume", "{}"),
    ("{}",),
    ("train", "--source", "{}", "--target", "{}", "--model", "nowhere"),
    ("export", "{}", "--model", "nowhere"),
    ("train", "--concept", "x", "--model", "nowhere", "--steps", "{}"),
    ("generate", "--prompts", "{}", "--model", "nowhere"),
    ("train", "--concept", "x", "--model", "nowhere", "--count", "2", "--output", "{}"),
    ("evaluate", "--sweep", "{}"),
    ("train", "--concept", "x", "--model", "nowhere", "--count", "{}"),
    ("generate", "x", "--seeds", "{}", "--model", "nowhere"),
    ("remove", "{}", "--plan"),
    ("add", "x", "--kind", "{}", "--task", "image", "--model", "nowhere", "--plan"),
    ("swap", "x", "{}", "--task", "image", "--model", "nowhere", "--plan"),
    ("remove", "x", "--examples", "{}", "--others", "{}", "--task", "text", "--plan"),
    ("info", "--config", "{}"),
    ("batch", "{}"),
)


@contextmanager
def working_in(folder: Path) -> Iterator[None]:
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def task_files(counts: Counts, folder: Path) -> None:
    """None of them runs anything: no file "ran" appears, and nothing is accepted."""
    (folder / "q.jsonl").write_text(json.dumps({"question": "q", "choices": ["a", "b"], "answer": 0}))
    with working_in(folder):
        for name, text in HOSTILE.items():
            Path("t.yaml").write_text(f"dataset_kwargs: {{data_files: {{test: q.jsonl}}}}\n{text}")
            counts.attempt(lambda: read_task("t.yaml"), name)
            if Path("ran").exists():
                counts.add("ran", name)
                Path("ran").unlink()


def escapes(counts: Counts, folder: Path) -> None:
    """Every text of a steering's provenance holds each of them; `info` prints one line a fact."""
    file = folder / "x.safetensors"
    file.write_bytes(tiny.steerings(folder)[0])
    steering = Steering.load(file)
    lines = len(_said("info", str(file)).splitlines())
    for text in ESCAPES:
        for key in ("method", "base_model", "fingerprint", "library_version", "created", "notes", "settings"):
            told = {text: text} if key == "settings" else text
            made = Provenance(**{**vars(steering.provenance), key: told})
            Steering(steering.maps, made).save(file)
            said = _said("info", str(file), "--sites")
            fine = all(sign.isprintable() or sign == "\n" for sign in said)
            fine &= len(_said("info", str(file)).splitlines()) <= lines
            counts.add("plain") if fine else counts.add("escaped", f"{key}: {text!r}")


def command_lines(counts: Counts, folder: Path) -> None:
    """Exit code 1 would be a fault of the program; nothing runs."""
    (folder / "x.safetensors").write_bytes(tiny.steerings(folder)[0])
    with working_in(folder):
        for words in _lines():
            code = _code(*words)
            fault = f"{words}"[:200] if code not in (0, 2) else None
            counts.add(f"exit {code}", fault)
            if Path("ran").exists():
                counts.add("ran", f"{words}")
                Path("ran").unlink()


def _lines() -> Iterator[tuple[str, ...]]:
    for command, word in product(COMMANDS, WORDS):
        yield tuple(word if part == "{}" else part for part in command)


def _code(*words: str) -> int:
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        try:
            return main(words)
        except SystemExit as error:
            return int(error.code or 0)


def _said(*words: str) -> str:
    with redirect_stdout(io.StringIO()) as out, redirect_stderr(out):
        main(words)
    return out.getvalue()
