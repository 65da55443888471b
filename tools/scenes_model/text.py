"""The tokenizer of the bundled model: a CLIPTokenizer whose every known word is one token."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

from transformers import CLIPTokenizer

from lineas.scenes.grammar import vocabulary

LENGTH = 32
START, END = "<|startoftext|>", "<|endoftext|>"


def merges(words: list[str]) -> list[tuple[str, str]]:
    """Byte-pair merges that make each word one token, its last letter marked."""
    return pair_merges([[*word[:-1], word[-1] + "</w>"] for word in words])


def pair_merges(split: list[list[str]]) -> list[tuple[str, str]]:
    """Merges that join each list of parts into one token: ever the commonest pair, ties by the alphabet."""
    chosen: list[tuple[str, str]] = []
    while any(len(parts) > 1 for parts in split):
        counts: dict[tuple[str, str], int] = {}
        for parts in split:
            for pair in pairwise(parts):
                counts[pair] = counts.get(pair, 0) + 1
        best = min(counts, key=lambda pair: (-counts[pair], pair))
        chosen.append(best)
        split = [_joined(parts, best) for parts in split]
    return chosen


def _joined(parts: list[str], pair: tuple[str, str]) -> list[str]:
    out: list[str] = []
    for part in parts:
        if out and (out[-1], part) == pair:
            out[-1] += part
        else:
            out.append(part)
    return out


def build_tokenizer(folder: Path) -> CLIPTokenizer:
    """Write vocab.json and merges.txt into ``folder`` and load them with the stock class.

    The end token has the highest number, which is where both open_clip and transformers look for the summary.
    """
    folder.mkdir(parents=True, exist_ok=True)
    pairs = merges(list(vocabulary()))
    letters = [chr(code) for code in range(33, 127) if not chr(code).isupper()]
    tokens = letters + [letter + "</w>" for letter in letters] + [a + b for a, b in pairs] + [START, END]
    (folder / "vocab.json").write_text(
        json.dumps({token: i for i, token in enumerate(tokens)}), encoding="utf-8"
    )
    (folder / "merges.txt").write_text(
        "#version: 0.2\n" + "".join(f"{a} {b}\n" for a, b in pairs), encoding="utf-8"
    )
    return CLIPTokenizer(
        str(folder / "vocab.json"), str(folder / "merges.txt"), unk_token=END, bos_token=START, eos_token=END,
        pad_token=END, model_max_length=LENGTH,
    )  # fmt: skip
