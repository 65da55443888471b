"""Rows against brute-force loops, and their independence of the batch."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from lineas.errors import ConfigError, PromptError
from lineas.maps.affine import AffineMap
from lineas.maths.pooling import (
    BehindPooling,
    MeanPooling,
    TokenPooling,
    mean_rows,
    parse_pooling,
    sampled_rows,
)


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def some_mask(b: int, s: int, seed: int) -> Tensor:
    mask = torch.rand(b, s, generator=torch.Generator().manual_seed(seed)) < 0.5
    mask[:, seed % s] = True
    return mask


@given(st.integers(1, 4), st.integers(1, 6), st.integers(0, 1000), st.booleans())
def test_masked_means_are_those_of_a_loop(b: int, s: int, seed: int, as_numbers: bool) -> None:
    z, mask = normal(b, s, 3, seed=seed), some_mask(b, s, seed)
    expected = torch.stack(
        [sum(z[i, t] for t in range(s) if mask[i, t]) / int(mask[i].sum()) for i in range(b)]
    )
    torch.testing.assert_close(mean_rows(z, -1, mask.long() if as_numbers else mask), expected)


@pytest.mark.parametrize(
    ("shape", "axis", "over"),
    [
        ((2, 5, 3), -1, (1,)),
        ((2, 3, 4, 5), 1, (2, 3)),
        ((2, 4, 5, 3), -1, (1, 2)),
        ((2, 3, 4, 5, 6), 1, (2, 3, 4)),
    ],
)
def test_means_are_over_all_positions(shape: tuple[int, ...], axis: int, over: tuple[int, ...]) -> None:
    z = normal(*shape)
    torch.testing.assert_close(mean_rows(z, axis), z.mean(over))


def test_rows_of_two_axes_pass() -> None:
    z = normal(4, 3)
    assert torch.equal(mean_rows(z, -1), z)
    assert torch.equal(mean_rows(z, -1, torch.ones(4, 7)), z)
    assert torch.equal(sampled_rows(z, 1, count=2), z.repeat_interleave(2, 0))


def test_affine_maps_commute_with_the_mean() -> None:
    z, mask, map = normal(3, 6, 4), some_mask(3, 6, 1), AffineMap(normal(4, seed=2), normal(4, seed=3))
    torch.testing.assert_close(mean_rows(map(z), -1, mask), map(mean_rows(z, -1, mask)))


def test_padding_that_is_nan_does_not_spread() -> None:
    z = normal(1, 3, 2).requires_grad_()
    padded = torch.cat([z, torch.full((1, 1, 2), float("nan"))], 1)
    mean_rows(padded, -1, torch.tensor([[1, 1, 1, 0]])).sum().backward()
    torch.testing.assert_close(z.grad, torch.full_like(z, 1 / 3))


def test_half_precision_comes_in_float32() -> None:
    z = torch.full((1, 4096, 1), 60000.0).half()
    assert mean_rows(z, -1).item() == pytest.approx(60000, rel=1e-3)
    assert sampled_rows(z, -1).dtype == torch.float32


@given(st.integers(1, 4), st.integers(1, 9), st.integers(1, 12), st.integers(0, 1000))
def test_sampled_rows_are_real_positions_repeated_as_little_as_possible(
    b: int, s: int, count: int, seed: int
) -> None:
    z = torch.arange(b * s, dtype=torch.float64).view(b, s, 1)
    mask = some_mask(b, s, seed)
    for sample, row in enumerate(sampled_rows(z, -1, mask, count, seed).view(b, count)):
        real = z[sample, mask[sample], 0].tolist()
        assert set(row.tolist()) <= set(real)
        times = [row.tolist().count(value) for value in real]
        assert max(times) - min(times) <= 1


@given(st.integers(0, 1000))
def test_micro_batches_and_padding_give_the_same_rows(seed: int) -> None:
    z, mask = normal(5, 7, 2, seed=seed), some_mask(5, 7, seed)
    whole = sampled_rows(z, -1, mask, 3, seed)
    parts = [sampled_rows(z[i : i + 2], -1, mask[i : i + 2], 3, seed) for i in range(0, 5, 2)]
    assert torch.equal(whole, torch.cat(parts))
    left = torch.nn.functional.pad(z, (0, 0, 3, 0)), torch.nn.functional.pad(mask, (3, 0))
    assert torch.equal(whole, sampled_rows(left[0], -1, left[1], 3, seed))


def test_another_seed_gives_other_positions_and_gradients_flow() -> None:
    z = normal(2, 3, 16, 16).requires_grad_()
    assert torch.equal(sampled_rows(z, 1, seed=1), sampled_rows(z, 1, seed=1))
    assert not torch.equal(sampled_rows(z, 1, seed=1), sampled_rows(z, 1, seed=2))
    sampled_rows(z, 1, count=5).sum().backward()
    assert z.grad is not None and z.grad.sum() == 2 * 5 * 3


@pytest.mark.parametrize("text", ["mean", "tokens:1", "tokens:24"])
def test_poolings_print_as_they_parse(text: str) -> None:
    assert str(parse_pooling(text)) == text


def test_poolings_are_the_functions() -> None:
    z, mask = normal(2, 5, 3), some_mask(2, 5, 3)
    assert torch.equal(MeanPooling()(z, -1, mask), mean_rows(z, -1, mask))
    assert torch.equal(TokenPooling(4, 7)(z, -1, mask), sampled_rows(z, -1, mask, 4, 7))


@pytest.mark.parametrize(
    "text", ["", "median", "tokens", "tokens:", "tokens:0", "tokens:-1", "tokens:x", "mean:3"]
)
def test_other_poolings_are_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        parse_pooling(text)


@pytest.mark.parametrize("pool", [MeanPooling(), TokenPooling()], ids=str)
def test_masks_that_do_not_fit_are_refused(pool: MeanPooling | TokenPooling) -> None:
    z = normal(2, 3, 4)
    with pytest.raises(PromptError, match=r"at \[1\]"):
        pool(z, -1, torch.tensor([[1, 0, 0], [0, 0, 0]]))
    with pytest.raises(PromptError, match=r"\[2, 4\]"):
        pool(z, -1, torch.ones(2, 4))
    with pytest.raises(PromptError, match="batch"):
        pool(z[0, 0], -1)
    with pytest.raises(PromptError, match="batch"):
        pool(z, 0)
    with pytest.raises(PromptError):
        pool(z[:, :0], -1)


@pytest.mark.parametrize("name", ["last", "max"])
def test_last_and_largest_positions_are_those_of_a_loop(name: str) -> None:
    z = torch.randn(3, 5, 4, generator=torch.Generator().manual_seed(0))
    mask = torch.tensor([[1, 1, 1, 0, 0], [0, 1, 0, 1, 0], [1, 1, 1, 1, 1]], dtype=torch.bool)
    real = [each[row] for each, row in zip(z, mask, strict=True)]
    expected = [each[-1] if name == "last" else each.amax(0) for each in real]
    pool = parse_pooling(name)
    assert str(pool) == name
    assert torch.equal(pool(z, -1, mask), torch.stack(expected))
    assert torch.equal(pool(z.mT, 1, mask), torch.stack(expected))
    assert torch.equal(pool(z[:, 0], -1), z[:, 0])
    assert pool(z.bfloat16(), -1, mask).dtype == torch.float32
    with pytest.raises(PromptError, match="No real token"):
        pool(z, -1, mask & False)


def test_positions_behind_a_prompt_or_at_its_end_are_taken() -> None:
    z = torch.arange(6.0).expand(2, 6)[..., None]
    mask = torch.arange(6) < torch.tensor([[3], [5]])
    assert BehindPooling(3)(z, -1, mask).flatten().tolist() == [2, 3, 4, 4, 5, 5]
    assert BehindPooling(3, back=2)(z, -1, mask).flatten().tolist() == [0, 1, 2, 2, 3, 4]
