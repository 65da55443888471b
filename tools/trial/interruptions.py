"""Ctrl-C at random lines of fuse and unfuse, and memory that runs short at random operations of a fit."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from types import FrameType
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from lineas.apply import fusing
from lineas.apply.fusing import fuse
from lineas.errors import LineasError
from lineas.maps.affine import AffineMap
from lineas.methods.lineas.config import TrainConfig
from lineas.methods.lineas.trainer import fit
from lineas.steering.site import Site
from lineas.steering.steering import Steering
from tools.trial import tiny
from tools.trial.counts import Counts

APPLY = str(Path(fusing.__file__).parent)


class Lines:
    """Counts the lines that run in lineas/apply, and raises KeyboardInterrupt at one of them."""

    def __init__(self, place: int = -1) -> None:
        self.place, self.count = place, 0

    def __call__(self, frame: FrameType, event: str, argument: Any) -> Callable[..., Any] | None:
        if not frame.f_code.co_filename.startswith(APPLY):
            return None
        if event == "line":
            self.count += 1
            if self.count == self.place:
                raise KeyboardInterrupt
        return self


@contextmanager
def interrupted_at(place: int = -1) -> Iterator[Lines]:
    lines, usual = Lines(place), sys.gettrace()
    sys.settrace(lines)
    try:
        yield lines
    finally:
        sys.settrace(usual)


def fuse_interrupts(counts: Counts, number: int, seed: int) -> None:
    """After an interrupt of fuse the weights are the untouched ones; of unfuse, once it is repeated."""
    random, model = Random(seed), tiny.model()
    steering = Steering(
        {Site(name): AffineMap(torch.rand(tiny.WIDTH), torch.rand(tiny.WIDTH)) for name in "13"}
    )
    untouched = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with interrupted_at() as during_fuse:
        handle = fuse(model, steering)
    with interrupted_at() as during_remove:
        handle.remove()
    for i in range(number):
        fusing_now = i % 2 == 0
        place = random.randint(1, (during_fuse if fusing_now else during_remove).count)
        try:
            if fusing_now:
                with interrupted_at(place):
                    fuse(model, steering).remove()
            else:
                handle = fuse(model, steering)
                with interrupted_at(place):
                    handle.remove()
        except KeyboardInterrupt:
            pass
        if not fusing_now:
            handle.remove()
        what = f"seed {seed}, interrupt {i} of {'fuse' if fusing_now else 'unfuse'} at line {place}"
        same = model.state_dict().keys() == untouched.keys()
        same = same and all(torch.equal(untouched[n], t) for n, t in model.state_dict().items())
        hooked = any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())
        if same and not hooked:
            counts.add("untouched")
        else:
            counts.add(f"state left by {'fuse' if fusing_now else 'unfuse'}", what)
            model = tiny.model()


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
