"""Problems: order of sites, rows, masks and leaving the model as it was."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from toys.problem import ToyProblem

from lineas.errors import LineasError, PromptError, SiteError
from lineas.fitting.micro_batches import MicroBatches, is_out_of_memory
from lineas.fitting.problem import Problem
from lineas.maths.pooling import TokenPooling
from lineas.steering.site import Site


def test_sites_come_in_execution_order() -> None:
    problem = ToyProblem(sites=["head", "blocks.1.norm2", "blocks.0.norm"])
    problem.order_sites()
    assert [str(site) for site in problem.sites] == ["blocks.0.norm", "blocks.1.norm2", "head"]


def test_sites_that_never_run_are_an_error() -> None:
    for act in (ToyProblem.order_sites, lambda problem: problem.rows("source", [0])):
        with pytest.raises(SiteError, match="1 of 2 sites never ran, the first is unused"):
            act(ToyProblem(sites=["head", "unused"]))


def test_what_may_rest_is_left_out_unless_nothing_runs() -> None:
    class Resting(ToyProblem):
        def may_rest(self, site: Site) -> bool:
            return True

    problem = Resting(sites=["head", "unused"])
    problem.order_sites()
    assert [str(site) for site in problem.sites] == ["head"]
    with pytest.raises(SiteError, match="1 of 1 sites never ran"):
        Resting(sites=["unused"]).order_sites()


@pytest.mark.parametrize("sizes", [(1, 6, 0), (6, 1, 0), (0, 6, 3)])
def test_one_prompt_is_no_distribution(sizes: tuple[int, int, int]) -> None:
    with pytest.raises(PromptError, match="at least 2"):
        ToyProblem(sizes)


def test_no_sites_are_an_error() -> None:
    with pytest.raises(SiteError, match="no sites"):
        ToyProblem(sites=[])


def test_rows_ignore_masked_positions() -> None:
    problem = ToyProblem()
    before = problem.rows("source", range(6))
    problem.prompts["source"][~problem.real["source"]] = float("nan")
    # The toy mixes tokens after its first norm; there alone is NaN times zero not yet in the model.
    site = Site("blocks.0.norm")
    assert torch.equal(problem.rows("source", range(6))[site][0], before[site][0])


def test_every_firing_gives_rows_and_transforms_are_fed_on() -> None:
    problem = ToyProblem(rounds=3)
    with problem.frozen(), torch.no_grad():
        plain = problem.rows("source", [0, 4])
        steered = problem.rows("source", [0, 4], lambda s, z: z + 1 if s.name == "blocks.0.norm" else z)
    assert all([len(each) for each in rows] == [2, 2, 2] for s, rows in plain.items() if s.name != "head")
    first = Site("blocks.0.norm")
    torch.testing.assert_close(steered[first][0], plain[first][0] + 1)
    assert not torch.allclose(steered[first][1], plain[first][1] + 1), "later rounds see what was changed"
    assert not torch.allclose(steered[Site("head")][0], plain[Site("head")][0])


def test_other_poolings_make_other_rows() -> None:
    rows = ToyProblem().rows("target", [1, 2], pooling=TokenPooling(4))
    assert {tuple(each[0].shape) for each in rows.values()} == {(8, 6)}


def test_tokens_that_are_laid_end_to_end_are_pooled_per_prompt() -> None:
    class Flat(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm = nn.LayerNorm(4)

    class FlatProblem(Problem):
        default_sites = "norm"
        inputs = torch.randn(2, 3, 4)
        real = torch.tensor([[True, True, False], [True, True, True]])

        def run(self, group: object, indices: object) -> None:
            self.components[""].norm(self.inputs.flatten(0, 1))

        def mask(self, *_: object) -> Tensor:
            return self.real

    problem = FlatProblem({"": Flat()}, [Site("norm")], {"source": 2, "target": 2})
    rows = problem.rows("source", [0, 1])[Site("norm")][0]
    z = torch.nn.functional.layer_norm(problem.inputs, (4,))
    torch.testing.assert_close(rows, torch.stack([z[0, :2].mean(0), z[1].mean(0)]))


def test_frozen_restores_what_was_also_after_an_exception() -> None:
    problem = ToyProblem()
    problem.model.head.bias.requires_grad_(False)
    problem.model.blocks[0].eval()
    wanted = [weight.requires_grad for weight in problem.model.parameters()]
    training = [module.training for module in problem.model.modules()]
    with problem.frozen():
        assert not any(weight.requires_grad for weight in problem.model.parameters())
        assert not any(module.training for module in problem.model.modules())
    with pytest.raises(ZeroDivisionError), problem.frozen():
        1 / 0
    assert [weight.requires_grad for weight in problem.model.parameters()] == wanted
    assert [module.training for module in problem.model.modules()] == training


def test_hooks_go_when_a_run_fails() -> None:
    problem = ToyProblem(limit=0)
    with pytest.raises(torch.OutOfMemoryError):
        problem.rows("source", [0])
    assert not any(module._forward_hooks for module in problem.model.modules())


def test_nothing_behind_the_last_site_runs_once_the_order_is_known() -> None:
    problem = ToyProblem()
    problem.sites = problem.sites[:1]
    ran: list[nn.Module] = []
    problem.model.head.register_forward_hook(lambda module, args, output: ran.append(module))
    before = problem.rows("source", [0, 1])
    assert ran
    problem.order_sites()
    ran.clear()
    after = problem.rows("source", [0, 1])
    assert not ran and torch.equal(before[problem.sites[0]][0], after[problem.sites[0]][0])


def test_the_provenance_is_complete() -> None:
    made = ToyProblem().provenance("method", steps=3)
    assert (made.method, made.base_model, made.settings["steps"]) == ("method", "toy", 3)
    assert made.fingerprint.startswith("2:") and made.created.endswith("Z") and made.library_version
    assert made.fingerprint != ToyProblem(seed=1).fingerprint


def test_prompts_of_like_lengths_run_together() -> None:
    problem = ToyProblem((2, 2, 7))
    problem.lengths = lambda group: [4, 20, 19, 4, 16, 3, 15][: problem.sizes[group]]  # type: ignore[method-assign]
    assert MicroBatches(problem).alike("preserve") == [[1, 2, 4, 6], [0, 3, 5]]
    assert MicroBatches(problem, 3).alike("preserve") == [[1, 2, 4], [6], [0, 3, 5]]
    assert MicroBatches(ToyProblem((6, 7, 0)), 4).alike("target") == [[0, 1, 2, 3], [4, 5, 6]]
    assert MicroBatches(ToyProblem((6, 7, 0))).alike("preserve") == []


def test_prompts_of_unlike_kinds_never_share_a_batch() -> None:
    problem = ToyProblem((6, 6, 7))
    problem.batch_kinds = lambda group: [0, 0, 0, 1, 1, 2, 2][: problem.sizes[group]]  # type: ignore[method-assign]
    assert MicroBatches(problem).of("source") == [[0, 1, 2], [3, 4], [5]]
    assert MicroBatches(problem, 2).of("source") == [[0, 1], [2], [3, 4], [5]]
    assert sorted(map(sorted, MicroBatches(problem).alike("preserve"))) == [[0, 1, 2], [3, 4], [5, 6]]


def test_micro_batches_cover_each_group_once() -> None:
    batches = MicroBatches(ToyProblem((6, 7, 0)), 4)
    assert batches.of("source") == [[0, 1, 2, 3], [4, 5]]
    assert batches.of("target") == [[0, 1, 2, 3], [4, 5, 6]] and batches.of("preserve") == []
    assert MicroBatches(ToyProblem()).size == MicroBatches(ToyProblem(), 100).size == 6


def test_rows_of_a_group_are_the_same_in_parts() -> None:
    problem = ToyProblem(rounds=2)
    with problem.frozen():
        whole, parts = (MicroBatches(problem, size).rows("target") for size in (0, 4))
    for site, firings in whole.items():
        for one, two in zip(firings, parts[site], strict=True):
            torch.testing.assert_close(one, two)
            assert not one.requires_grad


def test_only_short_memory_is_taken_for_short_memory() -> None:
    assert is_out_of_memory(torch.OutOfMemoryError()) and is_out_of_memory(MemoryError())
    assert is_out_of_memory(
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: 9 bytes")
    )
    assert not is_out_of_memory(RuntimeError("size mismatch")) and not is_out_of_memory(KeyError("memory"))
    batches = MicroBatches(ToyProblem(limit=0), 4)
    with pytest.raises(LineasError, match="does not fit") as caught:
        batches.rows("source")
    assert isinstance(caught.value.__cause__, torch.OutOfMemoryError)
