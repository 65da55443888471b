"""The device of a model that nobody gave one."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from lineas.adapters.devices import best_device

ORDER = ("cuda", "mps", "xpu", "cpu")


@pytest.mark.parametrize("first", ORDER)
def test_it_is_the_best_there_is(first: str, monkeypatch: pytest.MonkeyPatch) -> None:
    there = set(ORDER[ORDER.index(first) :])
    for home, name in ((torch, "cuda"), (torch.backends, "mps"), (torch, "xpu")):
        stand_in = SimpleNamespace(is_available=lambda name=name: name in there)
        monkeypatch.setattr(home, name, stand_in, raising=False)
    assert best_device() == torch.device(first)


def test_torch_without_xpu_serves(monkeypatch: pytest.MonkeyPatch) -> None:
    for home, name in ((torch, "cuda"), (torch.backends, "mps")):
        monkeypatch.setattr(home, name, SimpleNamespace(is_available=lambda: False))
    monkeypatch.delattr(torch, "xpu", raising=False)
    assert best_device() == torch.device("cpu")
