"""The first-token family: a shift at the first token of each text, and nowhere else."""

from __future__ import annotations

import pytest
import torch

from lineas import fit
from lineas.errors import ConfigError, MapError
from lineas.maps.base import trainable
from lineas.maps.first_token import FirstTokenMap

SHIFT = FirstTokenMap(torch.tensor([1.0, -2.0]))


def test_the_shift_is_where_the_first_tokens_are() -> None:
    z = torch.arange(12.0).reshape(2, 3, 2)
    first = torch.tensor([[True, False, False], [False, True, False]])
    moved = SHIFT.placed(first)(z, 0.5) - z
    expected = torch.zeros(2, 3, 2)
    expected[0, 0] = expected[1, 1] = torch.tensor([0.5, -1.0])
    assert torch.equal(moved, expected)
    flat = SHIFT.placed(first.flatten())(z.reshape(6, 2)) - z.reshape(6, 2)
    assert torch.equal(flat, 2 * expected.reshape(6, 2))


def test_shifts_add_up_and_are_undone() -> None:
    both = SHIFT.then(FirstTokenMap(torch.tensor([0.5, 0.5])))
    assert torch.equal(both.shift, torch.tensor([1.5, -1.5]))
    inverse, limited = SHIFT.inverse()
    assert torch.equal(inverse.shift, torch.tensor([-1.0, 2.0])) and not limited.any()


def test_it_needs_to_know_the_tokens() -> None:
    with pytest.raises(MapError, match="acts on the tokens"):
        SHIFT(torch.zeros(1, 3, 2))
    with pytest.raises(MapError, match="acts on the tokens"):
        SHIFT.placed(torch.ones(1, 9, dtype=torch.bool))(torch.zeros(1, 2, 3, 3), 1.0, 1)


def test_image_models_are_refused() -> None:
    pipelines = pytest.importorskip("toys.pipelines")
    with pytest.raises(ConfigError, match=r"first_token.*for language models"):
        fit(pipelines.sd1(), pipelines.SOURCE, pipelines.TARGET, map="first_token", steps=1)


def test_image_faces_do_not_offer_it() -> None:
    assert trainable() == ["affine", "first_token", "gated", "shift", "virtual"]
    assert trainable(texts=False) == ["affine", "gated", "shift", "virtual"]
