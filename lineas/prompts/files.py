"""Prompts on disk: one per line, and the hash that says which prompts a steering was made from."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from functools import lru_cache
from importlib.resources import files
from pathlib import Path

from lineas.errors import PromptError

MOST_BYTES = 64 * 2**20


def parse_prompts(text: str) -> tuple[str, ...]:
    """Non-empty lines of a text, stripped; lines that start with `#` are comments."""
    lines = (line.strip() for line in text.splitlines())
    return tuple(line for line in lines if line and not line.startswith("#"))


def read_prompts(path: str | Path) -> tuple[str, ...]:
    """Prompts of a UTF-8 text file, one per line, in file order; duplicates are kept.

    Blank lines and lines that start with `#` are skipped. At least two prompts are needed, because a method
    compares the distributions of activations over prompts and one prompt has no spread.
    Raises `PromptError` for a file that is missing, unreadable, not UTF-8, or holds fewer than two prompts.
    """
    prompts = parse_prompts(read_lines(path))
    if len(prompts) < 2:
        got = "no prompt" if not prompts else "only one prompt"
        raise PromptError(
            f"{path} holds {got}, expected at least 2. Write one prompt per line; "
            "16 to 64 prompts work well, and lines that start with # are comments."
        )
    return prompts


def read_lines(path: str | Path) -> str:
    """A UTF-8 text file as a whole, up to 64 MB. Raises `PromptError`, also for pipes and devices."""
    try:
        file = Path(path)
        if file.exists() and not file.is_file():
            raise PromptError(
                f"{path} is a folder, a pipe or a device, expected a text file; check the path."
            )
        if file.stat().st_size > MOST_BYTES:
            raise PromptError(f"{path} has more than {MOST_BYTES} bytes. Give a smaller file.")
        # utf-8-sig also takes the byte order mark that some editors write.
        return file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise PromptError(
            f"{path} is not UTF-8 text (byte {error.start}). Save it as UTF-8 and try again."
        ) from error
    except (OSError, ValueError) as error:
        if isinstance(error, PromptError):
            raise
        raise PromptError(
            f"Cannot read prompts from {path}: {getattr(error, 'strerror', None) or error}. "
            "Expected a text file with one prompt per line; check the path."
        ) from error


@lru_cache(maxsize=1)
def neutral_captions() -> tuple[str, ...]:
    """The bundled bank: more than 200 distinct everyday captions without style, weather or camera terms."""
    return parse_prompts(files(__package__).joinpath("neutral.txt").read_text(encoding="utf-8"))


@lru_cache(maxsize=1)
def plain_statements() -> tuple[str, ...]:
    """96 statements of fact and instructions, to hold a language model to and to measure on."""
    return parse_prompts(files(__package__).joinpath("statements.txt").read_text(encoding="utf-8"))


def hash_prompts(*sets: Iterable[str]) -> str:
    """SHA-256 (64 hex digits) of prompt sets; sets, their order and every character count."""
    text = json.dumps([list(prompts) for prompts in sets], ensure_ascii=True, separators=(",", ":"))
    return hashlib.sha256(text.encode("ascii")).hexdigest()
