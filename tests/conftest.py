from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

# The same examples on every run, and no deadline: first calls import and compile, machines differ.
settings.register_profile("lineas", derandomize=True, deadline=None)
settings.load_profile("lineas")


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Any]:
    """A stand-in for the Hugging Face hub, which huggingface_hub takes for it; see `toys.hub`."""
    pytest.importorskip("huggingface_hub")
    from toys.hub import ask, serve

    with serve() as (address, held):
        ask(address, monkeypatch, tmp_path / "hub-cache")
        yield held
