"""ReFT: the formula, where it starts, what it lowers and by which gradient."""

from __future__ import annotations

import pytest
import torch
from toys.language import PRESERVE, SOURCE, TARGET, model, tokenizer

from lineas.adapters.language.problem import LanguageProblem
from lineas.apply.hooks import steer
from lineas.errors import ConfigError
from lineas.fitting.progress import Progress
from lineas.maps.low_rank import LowRankMap
from lineas.methods.trained.reft import LowRankParameters, ReFTConfig, fit


def problem() -> LanguageProblem:
    return LanguageProblem(model("Llama"), tokenizer(), SOURCE, TARGET, PRESERVE)


def parameters(width: int = 6, rank: int = 3) -> LowRankParameters:
    return LowRankParameters(width, rank, torch.Generator().manual_seed(0), torch.device("cpu"))


def test_it_starts_at_the_identity_with_orthonormal_rows() -> None:
    made = parameters()
    torch.testing.assert_close(made.rotation() @ made.rotation().mT, torch.eye(3))
    z = torch.randn(4, 6)
    torch.testing.assert_close(made.map()(z), z)


def test_the_rotation_moves_smoothly_with_its_parameters() -> None:
    made, before = parameters(), parameters().rotation()
    with torch.no_grad():
        made.free += 1e-4 * torch.randn(made.free.shape, generator=torch.Generator().manual_seed(1))
    assert (made.rotation() - before).abs().max() < 1e-2


def test_the_gradient_is_that_of_finite_differences() -> None:
    made = parameters()
    for each in made.all():
        each.requires_grad_(False)
    made.free, made.weight, made.bias = (t.double().requires_grad_() for t in made.all())
    z = torch.randn(4, 6, dtype=torch.float64)

    def loss(free: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
        made.free, made.weight, made.bias = free, weight, bias
        return made.map()(z).pow(3).sum()

    assert torch.autograd.gradcheck(loss, tuple(made.all()))


def test_it_lowers_the_loss_of_the_target_texts_as_transformers_counts_it() -> None:
    told: list[Progress] = []
    texts = problem()
    steering = fit(texts, ReFTConfig(steps=15, rank=2, learning_rate=0.02), told.append)
    assert [each.step for each in told] == list(range(1, 16))
    assert told[0].objective == pytest.approx(mean_loss(texts), rel=1e-5)
    with steer(texts.model, steering):
        assert mean_loss(texts) < told[-1].objective + 1e-3 < told[0].objective - 0.05
    for map in steering.maps.values():
        assert isinstance(map, LowRankMap)
        torch.testing.assert_close(map.rotation @ map.rotation.mT, torch.eye(2))
    made = steering.provenance
    assert (made.method, made.settings["rank"], made.settings["steps_done"]) == ("reft", 2, 15)


def mean_loss(texts: LanguageProblem) -> float:
    losses = []
    for text in TARGET:
        ids = tokenizer()(text, return_tensors="pt", return_token_type_ids=False)["input_ids"]
        with torch.no_grad():
            losses.append(texts.model(input_ids=ids, labels=ids).loss.item())
    return sum(losses) / len(losses)


def test_micro_batches_give_the_same_maps() -> None:
    whole, parts = (fit(problem(), ReFTConfig(steps=2, micro_batch=size)) for size in (0, 2))
    assert whole.allclose(parts, 1e-3, 1e-4)


def test_a_rank_above_the_width_is_refused() -> None:
    with pytest.raises(ConfigError, match="rank is 17"):
        fit(problem(), ReFTConfig(rank=17))
