"""Loading language models in every version of transformers that is allowed."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from toys.language import model, tokenizer

from lineas.adapters.language.loading import _dtype_word, load_language_model


@pytest.mark.parametrize(
    ("version", "word"),
    [("4.50.0", "torch_dtype"), ("4.55.4", "torch_dtype"), ("4.56.0", "dtype"), ("5.0.0rc1", "dtype")],
)
def test_the_dtype_is_called_as_this_version_calls_it(version: str, word: str) -> None:
    assert _dtype_word(version) == word


def test_the_dtype_is_the_one_asked_for_or_that_of_the_checkpoint(tmp_path: Path) -> None:
    model("Llama").half().save_pretrained(tmp_path)
    tokenizer().save_pretrained(tmp_path)
    assert load_language_model(tmp_path, device="cpu")[0].dtype == torch.float16
    assert load_language_model(tmp_path, torch.float32, device="cpu")[0].dtype == torch.float32
