"""ITI-c: the classifier against SciPy, scikit-learn and its own optimality, and the shift it gives."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from toys.problem import ToyProblem

from lineas.maths.logistic import logistic_regression
from lineas.methods.closed_form.iti_c import ITIConfig, classifier_shift, fit
from lineas.methods.closed_form.mean_act import MeanActConfig
from lineas.methods.closed_form.mean_act import fit as fit_mean
from lineas.steering.steering import Steering

optimize = pytest.importorskip("scipy.optimize")


def data(n: int = 12, d: int = 4, seed: int = 0, scale: float = 1.0) -> tuple[Tensor, Tensor]:
    rows = torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    labels = (torch.arange(n) % 2).double()
    rows[labels == 1, 0] += 1
    return scale * rows + 3, labels


def objective(solution: np.ndarray, rows: np.ndarray, labels: np.ndarray, evidence: float) -> float:
    margins = (2 * labels - 1) * (rows @ solution[:-1] + solution[-1])
    return 0.5 * np.sum(solution[:-1] ** 2) + evidence * np.sum(np.logaddexp(0, -margins))


@given(st.integers(0, 100), st.sampled_from([0.01, 1.0, 100.0]), st.sampled_from([(12, 4), (6, 20), (9, 9)]))
def test_gradient_is_zero_and_no_penalty_on_the_bias(
    seed: int, evidence: float, shape: tuple[int, int]
) -> None:
    rows, labels = data(*shape, seed)
    weight, bias = logistic_regression(rows, labels, evidence)
    wrong = torch.sigmoid(rows @ weight + bias) - labels
    torch.testing.assert_close(
        weight + evidence * rows.T @ wrong, torch.zeros_like(weight), atol=1e-5, rtol=0
    )
    assert abs(wrong.sum().item()) < 1e-6


@pytest.mark.parametrize("scale", [1e-3, 1.0, 100.0])
def test_it_is_what_scipy_finds(scale: float) -> None:
    rows, labels = data(scale=scale)
    weight, bias = logistic_regression(rows, labels)
    arguments = (rows.numpy(), labels.numpy(), 1.0)
    found = optimize.minimize(objective, np.zeros(5), arguments, method="BFGS", options={"gtol": 1e-9})
    mine = objective(np.array([*weight.tolist(), bias.item()]), *arguments)
    assert mine <= found.fun + 1e-9
    if scale == 1.0:
        np.testing.assert_allclose(weight, found.x[:-1], rtol=1e-4, atol=1e-6)


def test_it_is_what_scikit_learn_finds() -> None:
    linear = pytest.importorskip("sklearn.linear_model")
    rows, labels = data(32, 50)
    weight, bias = logistic_regression(rows, labels, 0.5)
    model = linear.LogisticRegression(C=0.5, tol=1e-10, max_iter=10_000).fit(rows.numpy(), labels.numpy())
    np.testing.assert_allclose(weight, model.coef_[0], rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(bias, model.intercept_[0], rtol=1e-3, atol=1e-5)


def test_sets_without_difference_and_sets_far_apart() -> None:
    same = torch.ones(6, 3, dtype=torch.float64)
    assert not classifier_shift(same, same).shift.any()
    far = classifier_shift(same, same + torch.tensor([1e6, 0, 0])).shift
    torch.testing.assert_close(far, torch.tensor([5e5, 0, 0], dtype=torch.float64))


@settings(max_examples=20)
@given(st.integers(0, 100))
def test_the_shift_is_a_standard_deviation_along_the_normal(seed: int) -> None:
    rows, labels = data(20, 5, seed)
    source, target = rows[labels == 0], rows[labels == 1]
    shift = classifier_shift(source, target).shift
    weight, _ = logistic_regression(
        torch.cat([source, target]), torch.tensor([0.0] * 10 + [1.0] * 10).double()
    )
    direction = weight / weight.norm()
    assert shift.norm().item() == pytest.approx(np.std((rows @ direction).numpy()))
    torch.testing.assert_close(shift / shift.norm(), direction)
    assert direction @ (target.mean(0) - source.mean(0)) > 0


def test_in_one_dimension_it_points_where_the_mean_shift_does() -> None:
    u, v = torch.randn(8, 1).double(), torch.randn(8, 1).double() + 4
    assert classifier_shift(u, v).shift.item() == pytest.approx(torch.cat([u, v]).std(correction=0).item())


def test_every_site_is_estimated_on_the_untouched_model() -> None:
    problem = ToyProblem()
    with torch.no_grad(), problem.frozen():
        source, target = problem.rows("source", range(6)), problem.rows("target", range(6))
    expected = {s: classifier_shift(source[s][0], target[s][0], 2.0) for s in problem.sites}
    assert fit(problem, ITIConfig(evidence=2.0)).allclose(Steering(expected), 1e-3, 1e-4)


def test_it_goes_the_way_of_the_mean_shift() -> None:
    classifier, mean = fit(ToyProblem()), fit_mean(ToyProblem(), MeanActConfig(order="at_once"))
    for site in mean.sites:
        one, other = classifier.maps[site].tensors()["shift"], mean.maps[site].tensors()["shift"]
        assert one @ other > 0
