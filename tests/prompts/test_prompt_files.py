from __future__ import annotations

from pathlib import Path

import pytest

from lineas.errors import PromptError
from lineas.prompts.files import hash_prompts, read_prompts


def test_comments_blank_lines_and_the_byte_order_mark_are_skipped(tmp_path: Path) -> None:
    path = tmp_path / "prompts.txt"
    path.write_bytes("\ufeff# two prompts\r\n\r\n  een huis  \r\nein Bär # 1\r\n".encode())
    assert read_prompts(path) == ("een huis", "ein Bär # 1")
    assert read_prompts(str(path)) == read_prompts(path)


@pytest.mark.parametrize(
    ("content", "remedy"),
    [
        (b"", "no prompt.*one prompt per line"),
        (b"# nothing\n\n", "no prompt"),
        (b"one\n", "only one prompt"),
        (b"caf\xe9\nbar\n", "Save it as UTF-8"),
    ],
)
def test_unusable_files_say_what_to_do(tmp_path: Path, content: bytes, remedy: str) -> None:
    path = tmp_path / "prompts.txt"
    path.write_bytes(content)
    with pytest.raises(PromptError, match=remedy):
        read_prompts(path)


def test_a_missing_file_and_a_folder(tmp_path: Path) -> None:
    for path in (tmp_path / "missing.txt", tmp_path):
        with pytest.raises(PromptError, match="check the path"):
            read_prompts(path)


def test_the_hash_sees_sets_order_and_characters() -> None:
    hashes = [
        hash_prompts(["a", "b"], ["c"]),
        hash_prompts(["a"], ["b", "c"]),
        hash_prompts(["b", "a"], ["c"]),
        hash_prompts(["ab"], ["c"]),
        hash_prompts(["a", "B"], ["c"]),
    ]
    assert len(set(hashes)) == len(hashes)
    assert hash_prompts(("a", "b"), iter(["c"])) == hashes[0]
    assert len(hashes[0]) == 64
