"""Training: LinEAS end to end, all sites at once, one exact full-batch gradient per step."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch

from lineas.errors import MismatchError, NonFiniteError
from lineas.fitting.micro_batches import MicroBatches, memory_told
from lineas.fitting.problem import Problem
from lineas.fitting.progress import Callback, Progress, Steps, fitting_mode
from lineas.fitting.resume_check import check_fit_known, check_state
from lineas.maps.base import Map, map_from_tensors
from lineas.maths.proximal import cosine_learning_rate
from lineas.methods.lineas.config import TrainConfig
from lineas.methods.lineas.gradients import FullGradient
from lineas.methods.lineas.objective import Report, captured_objective, poolings
from lineas.methods.lineas.parameter_set import ParameterSet
from lineas.methods.lineas.starting import starting_parameters
from lineas.steering.site import Site, match_names
from lineas.steering.steering import Steering

PLATEAU = 20
"""Steps that `tolerance` looks back."""
JUMP = 1.5
"""How far above its best the objective may lie before `backtrack` goes back there."""


@dataclass(frozen=True)
class Evaluated:
    """Maps that were evaluated: after how many steps, with which figures."""

    steps: int
    report: Report
    maps: dict[Site, Map]


class Trainer:
    """One training run that can be stepped, stopped, saved and resumed.

    seconds: time for it all; see `Steps`.

    The model is left alone: its weights, their `requires_grad` and its modules' modes are as before between
    calls. Steps also work inside `torch.inference_mode`, given that the model was not loaded in it.
    Raises `NonFiniteError`, with the best steering so far, when a cost or a map stops being finite, and
    `LineasError` when a single prompt does not fit into memory.
    """

    def __init__(
        self,
        problem: Problem,
        config: TrainConfig | None = None,
        seconds: float | None = None,
    ) -> None:
        self.problem, self.config = problem, config or TrainConfig.preset("fast")
        self.steps = Steps(self.config.steps, None, self.steering, seconds, self.state)
        self.history: list[float] = []
        pooling = poolings(self.config, problem.is_text)
        self.batches = MicroBatches(problem, self.config.micro_batch, self.config.checkpointing)
        with self._ready():
            self.batches.fitting(problem.order_sites)
            self.objective = captured_objective(self.config, self.batches, pooling)
            if (site := self.objective.start.bad_site) is not None:
                raise self._not_finite("What the untouched model gives", site, step=0)
            steered = match_names(self.config.steer.split(","), [str(site) for site in problem.sites])
            sites = [site for site in problem.sites if str(site) in steered]
            parameters = starting_parameters(sites, self.batches, self.config, self.objective)
        self.parameters = ParameterSet(parameters)
        self.gradient = FullGradient(self.objective, self.parameters, self.batches, pooling)
        self.optimizer = self.parameters.optimizer(self.config)
        start = self.objective.start
        if not self.parameters.at_identity:  # whose figures the first step will tell
            start = replace(start, objective=math.inf)
        self._best = Evaluated(0, start, self.parameters.maps())
        self._best_parameters, self._rate_scale = self.parameters.copies(), 1.0

    def run(self, progress: Callback | None = None) -> Steering:
        """Step until the last step, a plateau, or a callback that returns True; the `result` is returned."""
        self.steps.progress = progress
        with self._ready():
            while self.steps.left:
                self._step()
                if self._on_plateau():
                    break
        return self.result()

    def step(self) -> Progress:
        """One step on the full-batch gradient."""
        with self._ready():
            return self._step()

    @property
    def step_number(self) -> int:
        """Steps made so far."""
        return self.steps.count

    @property
    def seconds(self) -> float:
        """Since the fit began, with what it took before it was resumed."""
        return self.steps.seconds

    def evaluate(self) -> Report:
        """The figures of the newest maps, by a forward pass; `Progress` has those of the maps before."""
        with self._ready():
            return self.gradient.evaluate()

    def steering(self) -> Steering:
        """The newest steering, detached and on the CPU in float32."""
        return self._steering(Evaluated(self.steps.count, self.objective.last, self.parameters.maps()))

    def result(self) -> Steering:
        """The newest steering, or the best so far where the newest cost is above that of the untouched model.

        The newest maps themselves have not been evaluated: the cost is that of the step before.
        """
        last, start = self.objective.last, self.objective.start
        if last.bad_site is None and last.objective <= 1.001 * start.objective:
            steering = self.steering()
            if self.steps.count and steering.sparsity == 1:
                warnings.warn(
                    f"No unit is steered: nothing changes. Lower sparsity (it is {self.config.sparsity:g}).",
                    stacklevel=3,
                )
            return steering
        best = self._best
        if best.report.objective > start.objective:  # of maps that did not start at the identity
            best = Evaluated(0, start, {site: map.at(0.0) for site, map in best.maps.items()})
        kept = f"those of step {best.steps}" if best.steps else "maps that change nothing"
        warnings.warn(
            f"After {self.steps.count} steps the cost was above that of the untouched model, so {kept} are "
            f"returned. Lower the learning rate (it is {self.config.learning_rate:g}), or give more prompts.",
            stacklevel=3,
        )
        return self._steering(best)

    @torch.inference_mode(False)
    def state(self) -> dict[str, Any]:
        """Everything that `load_state` needs to go on exactly here: plain values and copies of tensors."""
        return {
            "fit": self._identity(),
            "step": self.steps.count,
            "seconds": self.steps.seconds,
            "history": list(self.history),
            "micro_batch": self.batches.size,
            "scale": self.gradient.scale,
            "parameters": self.parameters.copies(),
            "best_parameters": [p.clone() for p in self._best_parameters],
            "rate_scale": self._rate_scale,
            "optimizer": self.optimizer.state_dict(),
            "report": self.objective.last.plain(),
            "best": {
                "steps": self._best.steps,
                "report": self._best.report.plain(),
                "maps": [dict(map.tensors()) for map in self._best.maps.values()],
            },
        }

    @torch.inference_mode(False)
    def load_state(self, state: Mapping[str, Any]) -> None:
        """Continue from a `state` of a trainer of the same fit; more steps or another rate are welcome.

        Raises `MismatchError` when the state is of another model, other prompts, sites or kind of maps, and
        `SteeringFileError` when it is no state of a trainer; nothing is taken from it then.
        """
        check_fit_known(state)
        mine, other = self._identity(), state["fit"]
        different = [name for name in mine if not self._agrees(name, mine[name], other.get(name))]
        if different:
            raise MismatchError(
                f"The saved training is of another fit: {', '.join(different)} differ. Start it with the "
                "same model, prompts, sites and options, or start afresh."
            )
        groups = self.optimizer.param_groups
        check_state(state, self.state(), [p for group in groups for p in group["params"]])
        self.parameters.restore(state["parameters"])
        self._best_parameters = [p.clone() for p in state["best_parameters"]]
        self._rate_scale = state["rate_scale"]
        # The settings are this trainer's own: another version of torch may know other ones.
        own = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({"state": state["optimizer"]["state"], "param_groups": own})
        self.steps.count, self.steps.earlier = state["step"], state["seconds"]
        self.history, best = list(state["history"]), state["best"]
        self.batches.size, self.gradient.scale = state["micro_batch"], state["scale"]
        self.objective.last = Report.of(state["report"], self.problem.sites)
        maps = [map_from_tensors(self.config.map, tensors) for tensors in best["maps"]]
        maps_by_site = dict(zip(self.parameters, maps, strict=True))
        self._best = Evaluated(best["steps"], Report.of(best["report"], self.problem.sites), maps_by_site)

    def _step(self) -> Progress:
        if trouble := self.gradient():
            raise self._not_finite(*trouble)
        last = self.objective.last
        if last.objective < self._best.report.objective:
            self._best = Evaluated(self.steps.count, last, self.parameters.maps())
            self._best_parameters = self.parameters.copies()
        rate = cosine_learning_rate(self.steps.count, self.steps.total, self.config.learning_rate)
        rate *= self._rate_scale
        if self.config.backtrack and last.objective > JUMP * self._best.report.objective:
            self._go_back()
        else:
            for group in self.optimizer.param_groups:
                group["lr"] = rate
            self.optimizer.step()
            self.optimizer.zero_grad()
        if (site := self.parameters.bad_site()) is not None:
            self.objective.last = replace(last, bad_site=site)
            raise self._not_finite("A map", site)
        self.history.append(last.objective)
        return self.steps.done(
            cost=last.cost,
            objective=last.objective,
            preserve=last.preserve,
            learning_rate=rate,
            sparsity=self.parameters.sparsity(),
            site_costs=last.site_costs,
        )

    @contextmanager
    def _ready(self) -> Iterator[None]:
        with fitting_mode(self.problem, gradients=True):
            yield

    def _on_plateau(self) -> bool:
        """The best of the last steps is hardly better than the best before them."""
        if not self.config.tolerance or len(self.history) <= PLATEAU:
            return False
        before, now = min(self.history[:-PLATEAU]), min(self.history[-PLATEAU:])
        return before - now <= self.config.tolerance * before

    def _steering(self, evaluated: Evaluated) -> Steering:
        report = evaluated.report
        settings = {
            **self.config.settings(),
            "checkpointing": self.batches.recomputes,
            "steps": self.steps.total,
            "steps_done": evaluated.steps,
            "seconds": round(self.steps.seconds, 1),
        }
        settings |= {"cost": report.cost, "cost_at_start": self.objective.start.cost}
        settings |= {f"{group}_prompts": size for group, size in self.problem.sizes.items()}
        maps = {site: map.to("cpu", torch.float32) for site, map in evaluated.maps.items()}
        return Steering(maps, self.problem.provenance("lineas", **settings))

    def _go_back(self) -> None:
        """To the best maps so far, with half the step size and an optimiser that has forgotten the jump."""
        self.parameters.restore(self._best_parameters)
        self.optimizer = self.parameters.optimizer(self.config)
        self.optimizer.zero_grad()
        self._rate_scale /= 2

    def _identity(self) -> dict[str, Any]:
        """What must agree for a state to make sense: its numbers are in units of these rows."""
        names = ("map", "rows", "coupling", "steer", "standardise", "optimizer", "seed")
        chosen = {name: getattr(self.config, name) for name in names}
        model = {"prompts": self.problem.prompts_hash, "weights": self.problem.fingerprint}
        return {"sites": [f"{site} {site.axis}" for site in self.problem.sites], **model, **chosen}

    def _agrees(self, name: str, mine: Any, other: Any) -> bool:
        if name == "weights" and isinstance(other, str) and mine != other:
            return self.problem.has_weights(other) is True
        return bool(mine == other)

    def _not_finite(self, what: str, site: Site, step: int | None = None) -> NonFiniteError:
        if step == 0:
            message = f"{what} is not finite, first at {site}. Load the model in bfloat16 or float32."
            return NonFiniteError(message, step=0, site=str(site))
        kept = "the best steering is kept" if self._best.steps else "no step was better than none"
        return NonFiniteError(
            f"{what} is not finite at step {self.steps.count + 1}, first at {site}. Lower the learning rate "
            f"(it is {self.config.learning_rate:g}), or turn standardise on; {kept}.",
            step=self.steps.count + 1,
            site=str(site),
            steering=self._steering(self._best) if self._best.steps else None,
        )


def fit(
    problem: Problem,
    config: TrainConfig | None = None,
    progress: Callback | None = None,
    seconds: float | None = None,
    state: Mapping[str, Any] | None = None,
) -> Steering:
    """The steering that moves source rows onto target rows at every site at once; see `Trainer`.

    state: of an earlier fit of the same, to go on from; see `Trainer.load_state`.
    """
    with memory_told():
        trainer = Trainer(problem, config, seconds)
        if state is not None:
            trainer.load_state(state)
        return trainer.run(progress)
