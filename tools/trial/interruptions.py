"""Ctrl-C at random lines of fuse and unfuse, and memory that runs short at random operations of a fit."""

from __future__ import annotations

import copy
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from types import FrameType
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from lineas.adapters import steered_model
from lineas.adapters.steered_model import SteeredModel
from lineas.apply import fusing
from lineas.apply.fusing import fuse
from lineas.apply.hooks import steer
from lineas.errors import LineasError
from lineas.maps.affine import AffineMap
from lineas.methods.lineas.config import TrainConfig
from lineas.methods.lineas.trainer import fit
from lineas.steering.site import Site
from lineas.steering.steering import Steering
from tools.trial import running, tiny
from tools.trial.counts import Counts

APPLY = str(Path(fusing.__file__).parent)
BY_NAME = (APPLY, steered_model.__file__)


@contextmanager
def interrupted_after(seconds: float, within: str | tuple[str, ...] = APPLY) -> Iterator[list[int]]:
    """Ctrl-C by the system's own clock, where the program is in these files by then; else nothing happens.

    Gives a list that is not empty once it came. A timer and not a trace: a trace raises in places where
    Python never looks for signals, as between a lock and its `with`.
    """
    came: list[int] = []

    def on_alarm(number: int, frame: FrameType | None) -> None:
        line = frame.f_lineno if frame else 0
        while frame is not None and not frame.f_code.co_filename.startswith(within):
            if frame.f_code.co_name == "__del__":
                return
            frame = frame.f_back
        if frame is not None:
            came.append(line)
            raise KeyboardInterrupt

    usual = signal.signal(signal.SIGALRM, on_alarm)
    try:
        signal.setitimer(signal.ITIMER_REAL, max(seconds, 1e-6))
        yield came
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, usual)


def fuse_interrupts(counts: Counts, number: int, seed: int) -> None:
    """After an interrupt of fuse the weights are the untouched ones; of unfuse, once it is repeated."""
    random, model = Random(seed), tiny.model()
    maps = {Site(name): AffineMap(torch.rand(tiny.WIDTH), torch.rand(tiny.WIDTH)) for name in "13"}
    steering = Steering(maps)
    untouched = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    took = [_seconds(lambda: fuse(model, steering).remove()) for _ in range(9)]
    longest = sorted(took)[4]
    for i in range(20 * number):
        if counts.tries >= number:
            break
        fusing_now, came, handle = i % 2 == 0, list[int](), None
        after = random.uniform(0, longest)
        try:
            if fusing_now:
                with interrupted_after(after) as came:
                    handle = fuse(model, steering)
            else:
                handle = fuse(model, steering)
                with interrupted_after(after) as came:
                    handle.remove()
        except KeyboardInterrupt:
            pass
        if handle is not None:
            handle.remove()
        if not came:
            continue
        what = f"seed {seed}, {'fuse' if fusing_now else 'unfuse'} interrupted at line {came[0]}"
        same = model.state_dict().keys() == untouched.keys()
        same = same and all(torch.equal(untouched[n], t) for n, t in model.state_dict().items())
        hooked = any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())
        if same and not hooked:
            counts.add("untouched")
        else:
            left = "weights" if not same else "hooks"
            counts.add(f"{left} left by {'fuse' if fusing_now else 'unfuse'}", what)
            model = tiny.model()


def named_interrupts(counts: Counts, number: int, seed: int) -> None:
    """After an interrupt of a `SteeredModel` what it lists as active acts, and unloading gives all back."""
    random, model, x = Random(seed), tiny.model(), torch.randn(4, tiny.WIDTH)
    drawn = lambda: AffineMap(torch.rand(tiny.WIDTH), torch.rand(tiny.WIDTH))  # noqa: E731
    steerings = {name: Steering({Site("1"): drawn(), Site("3"): drawn()}) for name in "ab"}
    before, base = running.state(model), model(x)
    longest = _seconds(lambda: _by_name(model, steerings, random, 4).unload_steerings())
    for i in range(20 * number):
        if counts.tries >= number:
            break
        wrapper = _by_name(model, steerings, random, i % 5)
        try:
            with interrupted_after(random.uniform(0, longest), BY_NAME) as came:
                _one_call(wrapper, steerings, random)
        except KeyboardInterrupt:
            pass
        listed, got = wrapper.get_active_steerings(), model(x)
        scale = 1.0 if wrapper._fused_at is None else wrapper._fused_at
        wrapper.unload_steerings()
        if not came:
            continue
        with steer(model, [steerings[name] for name in listed], [scale * v for v in listed.values()]):
            expected = model(x)
        end = "as listed" if torch.allclose(got, expected, rtol=1e-4, atol=1e-4) else "not as listed"
        if not running.same(running.state(model), before) or not torch.equal(model(x), base):
            end, model = "weights or hooks left", tiny.model()
        counts.add(end, None if end == "as listed" else f"seed {seed}, try {i}, line {came[0]}")


def _by_name(model: Any, steerings: dict[str, Steering], random: Random, calls: int) -> SteeredModel:
    wrapper = SteeredModel(model)
    for _ in range(calls):
        _one_call(wrapper, steerings, random)
    return wrapper


def _one_call(wrapper: SteeredModel, steerings: dict[str, Steering], random: Random) -> None:
    """A random call of those that there are at the moment."""
    there, at = wrapper.get_list_steerings(), random.random()
    missing = [name for name in steerings if name not in there]
    calls: list[Callable[[], object]] = [
        *(lambda name=name: wrapper.load_steering(steerings[name], name, at) for name in missing),
        *(lambda name=name: wrapper.set_steerings(name, 0.5) for name in there),
        *(lambda name=name: wrapper.delete_steerings(name) for name in there),
        wrapper.fuse_steering,
        wrapper.unfuse_steering,
        wrapper.disable_steering,
        wrapper.enable_steering,
        lambda: copy.deepcopy(wrapper),
        wrapper.unload_steerings,
    ]
    random.choice(calls)()


def _seconds(action: Callable[[], object]) -> float:
    began = time.perf_counter()
    action()
    return time.perf_counter() - began


class ShortAt(TorchDispatchMode):
    """Memory runs short once, at one operation; `count` of them ran."""

    def __init__(self, place: int = -1) -> None:
        super().__init__()
        self.place, self.count = place, 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += 1
        if self.count == self.place:
            raise torch.cuda.OutOfMemoryError("device full")
        return func(*args, **(kwargs or {}))


def short_memory(counts: Counts, number: int, seed: int) -> None:
    """At every so many operations of a fit: the same maps, or a refusal, and the model as it was."""
    random = Random(seed)
    for options in ({}, {"steer": "1"}, {"steer": "3", "rows": "tokens:2"}, {"checkpointing": True}):
        config = TrainConfig.preset("fast", steps=2, **options)
        with ShortAt() as whole:
            expected = fit(tiny.TinyProblem(), config)
        for _ in range(number // 4):
            place, problem = random.randint(1, whole.count), tiny.TinyProblem()
            try:
                with ShortAt(place):
                    got = fit(problem, config)
            except LineasError:
                counts.add("refused")
            except Exception as error:
                counts.add("untyped error", f"{options} at operation {place}: {type(error).__name__}")
            else:
                same = got.allclose(expected, rtol=1e-3, atol=1e-4)
                counts.add("same maps") if same else counts.add(
                    "other maps", f"{options} at operation {place}"
                )
            if any(m._forward_hooks for m in problem.model.modules()):
                counts.add("hooks left", f"{options} at operation {place}")
