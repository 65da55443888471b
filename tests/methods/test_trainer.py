"""Training on toy problems: exact gradients, exact proximal steps, and whatever can interrupt them."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from toys.problem import ToyProblem, gradients_of, moved

from lineas.apply.hooks import steer
from lineas.errors import (
    LineasError,
    MismatchError,
    NonFiniteError,
    PromptError,
    SiteError,
    SteeringFileError,
)
from lineas.fitting.progress import Progress
from lineas.fitting.resume_files import Checkpoints, load_checkpoint, save_checkpoint
from lineas.maths.penalties import SparseGroupLasso
from lineas.maths.pooling import MeanPooling, TokenPooling
from lineas.maths.proximal import cosine_learning_rate
from lineas.methods.lineas.config import TrainConfig
from lineas.methods.lineas.trainer import Trainer, fit

SIZES = {"equal": (6, 6, 0), "unequal": (6, 4, 0), "preserve": (5, 7, 6)}


def config(preset: str = "fast", **options: Any) -> TrainConfig:
    return TrainConfig.preset(preset, **{"steps": 8, **options})


def flags(problem: ToyProblem) -> tuple[list[bool], list[bool], list[bool]]:
    weights, modules = list(problem.model.parameters()), list(problem.model.modules())
    hooked = [bool(m._forward_hooks or "forward" in m.__dict__) for m in modules]
    return [w.requires_grad for w in weights], [m.training for m in modules], hooked


def one_gradient(trainer: Trainer) -> list[torch.Tensor]:
    with trainer._ready():
        assert trainer.gradient() is None
    return gradients_of(trainer.parameters)


# Gradients


@pytest.mark.parametrize("map", ["affine", "gated"])
@pytest.mark.parametrize("rounds", [1, 3])
@pytest.mark.parametrize("sizes", SIZES.values(), ids=SIZES)
def test_every_micro_batch_size_gives_the_gradient_of_one_pass(
    sizes: tuple[int, int, int], rounds: int, map: str
) -> None:
    whole = moved(Trainer(ToyProblem(sizes, rounds=rounds), config(map=map)))
    expected = one_gradient(whole)
    assert expected and all(g.abs().max() > 0 for g in expected)
    for size in range(1, max(sizes)):
        trainer = moved(Trainer(ToyProblem(sizes, rounds=rounds), config(map=map, micro_batch=size)))
        torch.testing.assert_close(one_gradient(trainer), expected, rtol=1e-9, atol=1e-12)
        assert trainer.objective.last.objective == pytest.approx(whole.objective.last.objective, rel=1e-12)
        assert trainer.objective.last.preserve == pytest.approx(whole.objective.last.preserve, rel=1e-12)


@pytest.mark.parametrize("micro_batch", [0, 2])
def test_an_evaluation_has_the_figures_of_the_gradient(micro_batch: int) -> None:
    trainer = moved(Trainer(ToyProblem(SIZES["preserve"]), config(micro_batch=micro_batch)))
    before = flags(trainer.problem)
    figures = trainer.evaluate()
    assert flags(trainer.problem) == before and not gradients_of(trainer.parameters)
    one_gradient(trainer)
    assert figures.objective == pytest.approx(trainer.objective.last.objective, rel=1e-12)
    assert figures.preserve == pytest.approx(trainer.objective.last.preserve, rel=1e-12) and figures.preserve


@pytest.mark.parametrize("options", [{"rows": "tokens:3"}, {"preserve_rows": "tokens:3"}])
def test_rows_of_single_tokens_have_the_same_exact_gradient(options: dict[str, str]) -> None:
    options = {**options, "seed": 4}
    whole = moved(Trainer(ToyProblem(SIZES["preserve"]), config(**options)))
    source = TokenPooling(3, 4) if "rows" in options else MeanPooling()
    assert whole.gradient.pooling == {"source": source, "preserve": TokenPooling(3, 4)}
    parts = moved(Trainer(ToyProblem(SIZES["preserve"]), config(**options, micro_batch=2)))
    torch.testing.assert_close(one_gradient(parts), one_gradient(whole), rtol=1e-9, atol=1e-12)


def test_preserve_rows_of_single_tokens_see_what_a_mean_hides() -> None:
    """A scale about a text's mean moves its tokens apart and leaves the mean where it is."""
    drifts = []
    for rows in ("auto", "tokens:8"):
        trainer = Trainer(ToyProblem(SIZES["preserve"]), config(preserve_rows=rows))
        trainer.evaluate()
        assert trainer.objective.last.preserve == 0
        kept, figures = trainer.objective.kept, trainer.objective.last
        moved_rows = {
            site: [r.unflatten(0, (6, -1)) * 1.1 - 0.1 * r.unflatten(0, (6, -1)).mean(1, True) for r in each]
            for site, each in kept.items()
        }
        flat = {site: [r.flatten(0, 1) for r in each] for site, each in moved_rows.items()}
        trainer.objective.preserve(flat, range(6))
        drifts.append(figures.preserve)
    assert drifts[0] == pytest.approx(0, abs=1e-20) and drifts[1] > 1


def test_the_gradient_is_the_slope_of_the_objective() -> None:
    trainer = moved(Trainer(ToyProblem(SIZES["preserve"], rounds=2), config(micro_batch=2)))
    gradients = one_gradient(trainer)

    def objective() -> float:
        one_gradient(trainer)
        return trainer.objective.last.objective

    for parameter, gradient in zip(trainer.parameters.all(), gradients, strict=True):
        for unit in (0, 3):
            ends = []
            for step in (1e-6, -1e-6):
                with torch.no_grad():
                    parameter[unit] += step
                    ends.append(objective())
                    parameter[unit] -= step
            assert (ends[0] - ends[1]) / 2e-6 == pytest.approx(gradient[unit].item(), rel=1e-4, abs=1e-6)


def test_recomputing_activations_changes_no_gradient() -> None:
    plain = moved(Trainer(ToyProblem(SIZES["preserve"]), config()))
    problem = ToyProblem(SIZES["preserve"])
    calls: list[int] = []
    problem.model.blocks[0].mix.register_forward_hook(lambda *_: calls.append(1))
    saving = moved(Trainer(problem, config(checkpointing=True)))
    calls.clear()
    torch.testing.assert_close(one_gradient(saving), one_gradient(plain), rtol=1e-12, atol=0)
    assert len(calls) == 4, "once forward and once again backward, for source and preserve prompts"
    assert not any("forward" in block.__dict__ for block in problem.model.blocks)


def test_a_model_with_its_own_way_of_recomputing_keeps_its_setting() -> None:
    class Offers(torch.nn.LayerNorm):
        is_gradient_checkpointing = False

        def enable_gradient_checkpointing(self) -> None:
            self.is_gradient_checkpointing = True

        def disable_gradient_checkpointing(self) -> None:
            self.is_gradient_checkpointing = False

    problem = ToyProblem()
    problem.components["other"] = other = Offers(3)
    for before in (False, True):
        other.is_gradient_checkpointing = before
        with problem.checkpointing():
            assert other.is_gradient_checkpointing
        assert other.is_gradient_checkpointing is before


# Steps


@pytest.mark.parametrize(("preset", "lr"), [("fast", 0.05), ("paper", 0.02)])
@pytest.mark.parametrize("sizes", SIZES.values(), ids=SIZES)
def test_the_cost_falls(sizes: tuple[int, int, int], preset: str, lr: float) -> None:
    reports: list[Progress] = []
    steering = fit(ToyProblem(sizes), config(preset, steps=40, learning_rate=lr), reports.append)
    assert [report.step for report in reports] == list(range(1, 41))
    assert reports[-1].cost < 0.7 * reports[0].cost
    assert reports[-1].objective < 0.7 * reports[0].objective
    assert sum(reports[-1].site_costs.values()) == pytest.approx(reports[-1].cost)
    assert (reports[0].preserve == 0) and (reports[-1].preserve > 0) is (sizes[2] > 0)
    made = steering.provenance
    assert made.method == "lineas" and made.settings["steps_done"] == 40 and made.fingerprint
    assert made.settings["cost"] == reports[-1].cost and made.settings["cost_at_start"] == reports[0].cost


@pytest.mark.parametrize("sparsity", [0.0, 0.02])
def test_the_paper_preset_is_proximal_sgd(sparsity: float) -> None:
    """Against a loop written out: W2² with an explicit sort, SGD, soft threshold and group shrink."""
    steps, lr, problem = 6, 0.02, ToyProblem()
    steering = fit(problem, config("paper", steps=steps, learning_rate=lr, sparsity=sparsity))

    problem = ToyProblem()
    problem.order_sites()
    with problem.frozen():
        target = {s: z[0].detach() for s, z in problem.rows("target", range(6)).items()}
        maps = {
            s: [torch.zeros(6, dtype=torch.float64, requires_grad=True) for _ in range(2)] for s in target
        }
        lasso = SparseGroupLasso()
        for step in range(steps):
            rows = problem.rows("source", range(6), lambda s, z: (1 + maps[s][0]) * z + maps[s][1])
            cost = sum(
                ((rows[s][0][:, j].sort().values - v[:, j].sort().values) ** 2).mean()
                for s, v in target.items()
                for j in range(6)
            )
            parameters = [p for pair in maps.values() for p in pair]
            gradients = torch.autograd.grad(cost, parameters)
            rate = cosine_learning_rate(step, steps, lr)
            with torch.no_grad():
                for p, g in zip(parameters, gradients, strict=True):
                    p.copy_(lasso.prox(p - rate * g, rate * sparsity))
    assert steering.sites == tuple(maps)
    for site, map in steering.maps.items():
        for got, expected in zip(map.tensors().values(), maps[site], strict=True):
            torch.testing.assert_close(got, expected.detach().float(), rtol=1e-5, atol=1e-7)


def test_the_penalty_leaves_exact_zeros_and_progress_counts_them() -> None:
    reports: list[Progress] = []
    steering = fit(ToyProblem(), config(steps=60, sparsity=0.5), reports.append)
    assert 0.1 < steering.sparsity < 1
    assert reports[-1].sparsity == pytest.approx(steering.sparsity)
    assert reports[0].sparsity != reports[-1].sparsity, "a report keeps the sparsity of its own step"
    assert Trainer(ToyProblem(), config()).steering().sparsity == 1
    with pytest.warns(UserWarning, match=r"No unit is steered: .* Lower sparsity \(it is 50\)"):
        assert fit(ToyProblem(), config(steps=30, sparsity=50)).sparsity == 1


def test_raising_the_penalty_leaves_fewer_units_with_either_optimizer() -> None:
    paper = config("paper", steps=30, learning_rate=0.02)
    for options, weights in ((paper, (0, 0.1, 0.2, 50)), (config(steps=60), (0, 0.5, 1.5, 50))):
        found = [fit(ToyProblem(), replace(options, sparsity=weight)) for weight in weights]
        sparsities = [steering.sparsity for steering in found]
        assert sparsities == sorted(sparsities) and (sparsities[0], sparsities[-1]) == (0, 1)
        assert len(set(sparsities)) == 4, "graded, not all or nothing"


def test_the_steering_does_to_the_model_what_training_saw() -> None:
    problem = ToyProblem()
    trainer = Trainer(problem, config(steps=10))
    steering = trainer.run()
    cost = trainer.evaluate().cost
    problem.model.eval()
    with steer(problem.components, steering):
        steered = Trainer(problem, config())
    assert steered.objective.start.cost != pytest.approx(trainer.objective.start.cost, rel=0.1)
    # Target rows of the second trainer are steered too, so only source rows are compared.
    with torch.no_grad(), problem.frozen(), steer(problem.components, steering):
        rows = problem.rows("source", range(6))
    again = Trainer(problem, config()).objective
    again.cost(rows)
    assert again.last.cost == pytest.approx(cost, rel=1e-5)


@pytest.mark.parametrize("map", ["affine", "gated"])
def test_prompts_that_make_no_difference_are_refused(map: str) -> None:
    problem = ToyProblem()
    problem.prompts["target"], problem.real["target"] = problem.prompts["source"], problem.real["source"]
    with pytest.raises(PromptError, match="make no difference"):
        fit(problem, config(map=map))


def test_it_stops_on_a_plateau() -> None:
    trainer = Trainer(ToyProblem(), config(steps=400, tolerance=0.05))
    trainer.run()
    assert 20 < trainer.step_number < 300
    rising = Trainer(ToyProblem(), config(tolerance=0.5))
    rising.history = [1.0] * 5 + [0.4] * 15 + [3.0]
    assert not rising._on_plateau(), "less than a window since the best"
    rising.history += [3.0] * 20
    assert rising._on_plateau()


# Interruptions


@pytest.mark.parametrize("stop", [1, 3, 7])
def test_a_callback_stops_it_at_any_step_with_a_usable_steering(stop: int) -> None:
    problem = ToyProblem(dtype=torch.float32)
    steering = fit(problem, config(), lambda report: report.step == stop)
    assert steering.provenance.settings["steps_done"] == stop and steering.sparsity < 1
    steering.check()
    with steer(problem.components, steering):
        problem.run("source", [0])


def test_only_true_stops() -> None:
    trainer = Trainer(ToyProblem(), config())
    trainer.run(lambda report: report.step)
    assert trainer.step_number == 8


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
@pytest.mark.parametrize("map", ["affine", "gated"])
def test_it_resumes_exactly(map: str, optimizer: str, tmp_path: Path) -> None:
    options = config(map=map, optimizer=optimizer, sparsity=0.01, learning_rate=0.01)
    whole = Trainer(ToyProblem(SIZES["preserve"]), options)
    expected = whole.run()

    first = Trainer(ToyProblem(SIZES["preserve"]), options)
    first.run(lambda report: report.step == 3)
    state = first.state()
    kept = copy.deepcopy(state)
    first.run()  # a state that is kept is left alone by later steps
    save_checkpoint(state, tmp_path / "run.safetensors")
    for again in (state, state, load_checkpoint(tmp_path / "run.safetensors")):
        second = Trainer(ToyProblem(SIZES["preserve"]), options)
        second.load_state(again)
        assert second.steering().provenance.settings["steps_done"] == 3
        resumed = second.run()
        assert second.history == whole.history and second._best.steps == whole._best.steps
        for site, map_ in expected.maps.items():
            assert all(torch.equal(t, resumed.maps[site].tensors()[n]) for n, t in map_.tensors().items())
        without_time = [
            {k: v for k, v in s.provenance.settings.items() if k != "seconds"} for s in (resumed, expected)
        ]
        assert without_time[0] == without_time[1]
    for one, two in zip(kept["parameters"], state["parameters"], strict=True):
        assert torch.equal(one, two)
    moments = [s["optimizer"]["state"] for s in (kept, state)]
    assert str(moments[0]) == str(moments[1])


def test_a_state_of_another_fit_is_refused(tmp_path: Path) -> None:
    state = Trainer(ToyProblem(), config()).state()
    for problem, options, named in (
        (ToyProblem(seed=1), config(), "prompts, weights"),
        (ToyProblem(sites=["head"]), config(), "sites"),
        (ToyProblem(), config(map="gated"), "map"),
        (ToyProblem(), config("paper"), "standardise, optimizer"),
    ):
        with pytest.raises(MismatchError, match=f"{named} differ"):
            Trainer(problem, options).load_state(state)
    longer = Trainer(ToyProblem(), config(steps=50))
    longer.load_state(state)


def test_checkpoints_are_written_while_it_runs(tmp_path: Path) -> None:
    path, seen = tmp_path / "run.safetensors", []

    def ask(report: Progress) -> bool:
        seen.append((report.step, path.exists() and load_checkpoint(path)["step"]))
        return report.step == 7

    trainer = Trainer(ToyProblem(), config())
    trainer.run(Checkpoints(path, every=3, then=ask))
    assert seen == [(1, False), (2, False), (3, False), (4, 3), (5, 3), (6, 3), (7, 6)]
    assert load_checkpoint(path)["step"] == 7
    assert [each.name for each in tmp_path.iterdir()] == [path.name]


def test_a_damaged_checkpoint_is_a_typed_error(tmp_path: Path) -> None:
    good = tmp_path / "good"
    save_checkpoint(Trainer(ToyProblem(), config()).state(), good)
    cases = {"missing": None, "empty": b"", "cut": good.read_bytes()[:-5], "junk": b"PK\x03\x04" * 50}
    fit(ToyProblem(), config(steps=1)).save(tmp_path / "steering")
    cases["steering"] = (tmp_path / "steering").read_bytes()
    for name, data in cases.items():
        if data is not None:
            (tmp_path / name).write_bytes(data)
        with pytest.raises(SteeringFileError, match="checkpoint"):
            load_checkpoint(tmp_path / name)
    with pytest.raises(SteeringFileError):
        save_checkpoint({}, tmp_path / "no" / "folder")


# What can go wrong


@pytest.mark.parametrize("error", [None, MemoryError(), RuntimeError("MPS backend out of memory")])
def test_short_memory_halves_the_micro_batch(error: BaseException | None) -> None:
    problem = ToyProblem(SIZES["preserve"], limit=2, error=error)
    trainer = Trainer(problem, config())
    steering = trainer.run()
    assert trainer.batches.size == 1  # 7 → 3 → 1
    whole = fit(ToyProblem(SIZES["preserve"]), config())
    assert steering.allclose(whole, rtol=1e-4, atol=1e-6)


def test_memory_that_runs_short_in_the_middle_halves_it_too() -> None:
    problem = ToyProblem()
    trainer = Trainer(problem, config())
    trainer.step()
    problem.limit = 3
    trainer.run()
    assert trainer.batches.size == 3 and trainer.step_number == 8


def test_short_memory_of_a_backward_pass_recomputes_before_it_halves() -> None:
    problem = ToyProblem()
    trainer = Trainer(problem, config())
    assert trainer.result().provenance.settings["checkpointing"] is False
    run, held = problem.run, []

    def short(group: Any, indices: Any) -> None:
        if torch.is_grad_enabled() and not any("forward" in vars(block) for block in problem.model.blocks):
            held.append(len(indices))
            raise MemoryError
        run(group, indices)

    problem.run = short  # type: ignore[method-assign]
    with pytest.warns(UserWarning, match="recomputed from now on"):
        steering = trainer.run()
    assert trainer.batches.recomputes and trainer.batches.size == 6 and held == [6]
    assert steering.provenance.settings["checkpointing"] is True
    assert steering.allclose(fit(ToyProblem(), config()), rtol=1e-6, atol=1e-9)
    assert not any("forward" in vars(block) for block in problem.model.blocks)


def test_one_prompt_that_does_not_fit_is_a_clear_error() -> None:
    problem = ToyProblem()
    trainer = Trainer(problem, config())
    problem.limit, before = 0, flags(problem)
    with pytest.raises(LineasError, match="One prompt at a time does not fit"):
        trainer.run()
    assert flags(problem) == before


def test_other_errors_pass_through_and_leave_the_model_as_it_was() -> None:
    problem = ToyProblem(limit=0, error=RuntimeError("shape mismatch"))
    problem.model.blocks[0].mix.bias.requires_grad_(False)
    problem.model.blocks[1].eval()
    before = flags(problem)
    problem.limit = 1
    with pytest.raises(RuntimeError, match="shape mismatch"):
        fit(problem, config(checkpointing=True))
    assert flags(problem) == before
    problem.limit = 1000
    with pytest.raises(KeyboardInterrupt):
        fit(problem, config(checkpointing=True), _interrupt)
    assert flags(problem) == before


def _interrupt(report: Progress) -> bool:
    raise KeyboardInterrupt


def test_weights_get_no_gradient_and_stay_what_they_were() -> None:
    problem = ToyProblem(SIZES["preserve"])
    before, weights = flags(problem), copy.deepcopy(problem.model.state_dict())
    trainer = Trainer(problem, config())
    trainer.step()
    assert flags(problem) == before
    trainer.run(lambda report: bool(flags(problem)[1].count(True)))  # in evaluation mode for previews
    assert trainer.step_number == 8 and flags(problem) == before
    assert all(weight.grad is None for weight in problem.model.parameters())
    assert all(torch.equal(weights[name], now) for name, now in problem.model.state_dict().items())


@pytest.mark.parametrize("micro_batch", [0, 2])
def test_nan_stops_with_the_step_the_site_and_the_best_steering(micro_batch: int) -> None:
    problem = ToyProblem(dtype=torch.float32)
    trainer = Trainer(problem, config(micro_batch=micro_batch))

    def poison(report: Progress) -> None:
        if report.step == 3:
            problem.model.blocks[1].mix.register_forward_hook(lambda m, a, z: z * float("nan"))

    before = flags(problem)[:2]
    with pytest.raises(NonFiniteError) as caught:
        trainer.run(poison)
    error = caught.value
    assert (error.step, error.site) == (4, "blocks.1.norm2") and "Lower the learning rate" in str(error)
    error.steering.check()
    assert error.steering.provenance.settings["steps_done"] == 2, "evaluated last, in step 3"
    assert error.steering.allclose(trainer.result())
    assert flags(problem)[:2] == before


def test_nan_in_the_untouched_model_is_found_before_the_first_step() -> None:
    problem = ToyProblem(dtype=torch.float32)
    problem.model.blocks[0].mix.weight.data[0, 0] = float("nan")
    with pytest.raises(NonFiniteError, match="untouched model") as caught:
        Trainer(problem, config())
    assert (caught.value.step, caught.value.steering) == (0, None)


def test_nan_in_preserve_prompts_names_its_site_too() -> None:
    problem = ToyProblem(SIZES["preserve"], dtype=torch.float32)
    trainer = Trainer(problem, config())
    problem.prompts["preserve"][2] = float("nan")
    with pytest.raises(NonFiniteError, match="The cost") as caught:
        trainer.run()
    assert (caught.value.step, caught.value.site, caught.value.steering) == (1, "blocks.0.norm", None)


def test_a_run_that_diverges_gives_the_best_steering_it_had() -> None:
    problem = ToyProblem(dtype=torch.float32)
    trainer = Trainer(problem, config(steps=6, backtrack=False))

    def derail(report: Progress) -> None:
        if report.step == 4:
            moved(trainer, size=30)

    steering = trainer.run(derail)
    assert trainer.objective.last.objective > trainer.objective.start.objective
    assert steering.provenance.settings["steps_done"] == 3
    assert steering.provenance.settings["cost"] < trainer.objective.start.cost
    hopeless = fit(ToyProblem(), config("paper", learning_rate=1e3, steps=3))
    assert hopeless.sparsity == 1, "nothing was better than leaving the model alone"


def test_an_infinite_step_is_a_bad_map() -> None:
    trainer = Trainer(ToyProblem(), config("paper", learning_rate=1e308))
    with pytest.raises(NonFiniteError):
        trainer.run()
    trainer.result().check()


# Precision and modes


@pytest.mark.parametrize("map", ["affine", "gated"])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_models_train(dtype: torch.dtype, map: str) -> None:
    reports: list[Progress] = []
    problem = ToyProblem(SIZES["preserve"], dtype=dtype)
    steering = fit(problem, config(steps=15, micro_batch=4, map=map), reports.append)
    steering.check()
    assert reports[-1].objective < 0.9 * reports[0].objective
    assert all(t.dtype == torch.float32 for m in steering.maps.values() for t in m.tensors().values())


def test_overflowing_half_precision_gradients_lower_the_scale() -> None:
    trainer = moved(Trainer(ToyProblem(dtype=torch.float16), config()))
    expected = one_gradient(trainer)
    trainer.gradient.scale = 2.0**40
    again = one_gradient(trainer)
    assert trainer.gradient.scale < 2.0**20
    for one, two in zip(again, expected, strict=True):
        torch.testing.assert_close(one, two, rtol=0.05, atol=0.02 * float(two.abs().max()))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_it_works_inside_inference_mode(dtype: torch.dtype) -> None:
    problem = ToyProblem(SIZES["preserve"], dtype=dtype)
    with torch.inference_mode():
        trainer = Trainer(problem, config())
        trainer.step()
        steering = trainer.run(lambda report: report.steering().check())
        state = trainer.state()
    outside = Trainer(ToyProblem(SIZES["preserve"], dtype=dtype), config())
    assert steering.allclose(outside.run())
    outside.load_state(state)
    outside.steps.count = 3
    outside.step()
    with torch.inference_mode():
        trainer.load_state(outside.state())
    with torch.no_grad():
        trainer.step()
    assert trainer.steering().sparsity < 1


def test_a_jump_of_the_objective_is_taken_back_with_half_the_step_size() -> None:
    rates: list[float] = []
    trainer = Trainer(ToyProblem(), TrainConfig.preset("fast", steps=40, learning_rate=2.0))
    trainer.run(lambda progress: rates.append(progress.learning_rate))
    jumped, back = trainer.history[1], trainer.history[2]
    assert jumped > 1.5 * trainer.history[0]
    assert back == pytest.approx(trainer.history[0])
    assert rates[2] < 0.51 * rates[1]
    assert trainer.evaluate().objective < 0.25 * trainer.objective.start.objective


def test_sites_that_are_not_steered_are_measured_all_the_same() -> None:
    whole = Trainer(ToyProblem(SIZES["preserve"]), config(steps=5))
    first = next(iter(whole.parameters))
    one = Trainer(ToyProblem(SIZES["preserve"]), config(steps=5, steer=first.name))
    assert list(one.parameters) == [first]
    assert one.objective.start == whole.objective.start
    steering = one.run()
    assert steering.sites == (first,) and one.evaluate().objective < one.objective.start.objective
    assert len(one.objective.last.site_costs) == len(whole.parameters)
    again = Trainer(ToyProblem(SIZES["preserve"]), config(steps=5, steer=first.name))
    again.load_state(one.state())
    assert again.steering().allclose(one.steering())


def test_steering_none_of_the_sites_is_an_error() -> None:
    with pytest.raises(SiteError, match="No site matches 'nowhere'"):
        Trainer(ToyProblem(), config(steer="nowhere"))
