"""SIGKILL at random moments of a save: what was there is whole, old or new, and nothing piles up."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from random import Random

from lineas.errors import LineasError
from lineas.fitting.resume_files import load_checkpoint, save_checkpoint
from lineas.maps.affine import AffineMap
from lineas.steering.site import Site
from lineas.steering.steering import Steering
from lineas.steering.writing import STALE_SECONDS
from tools.trial import tiny
from tools.trial.counts import Counts


def kills(counts: Counts, number: int, seed: int, folder: Path) -> None:
    """A child saves two steerings, or a checkpoint, over and over, until it is killed."""
    folder.mkdir(exist_ok=True)
    random = Random(seed)
    full = AffineMap.identity(50_000)
    one, two = (Steering({Site("1"): full.with_tensors(lambda t, s=s: t + s)}) for s in (1, 2))
    state, trainer = tiny.trainer().state(), tiny.trainer()
    steering, checkpoint = folder / "x.safetensors", folder / "x.checkpoint"
    one.save(steering)
    save_checkpoint(state, checkpoint)
    for i in range(number):
        child = os.fork()
        if not child:
            _save_for_ever(i % 2 == 0, (one, two), steering, state, checkpoint)
        time.sleep(random.uniform(0.002, 0.03))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        try:
            found = Steering.load(steering)
            trainer.load_state(load_checkpoint(checkpoint))
            whole = found.allclose(one) or found.allclose(two)
        except LineasError as error:
            counts.add("lost", f"seed {seed}, kill {i}: {error}")
        else:
            counts.add("whole") if whole else counts.add("mixed", f"seed {seed}, kill {i}")
    left = list(folder.glob(".lineas-*"))
    for each in left:
        os.utime(each, (time.time() - 2 * STALE_SECONDS,) * 2)
    one.save(steering)
    for _ in folder.glob(".lineas-*"):
        counts.add("temporary file left", "after a later save")


def _save_for_ever(
    is_steering: bool, pair: tuple[Steering, Steering], steering: Path, state: dict, checkpoint: Path
) -> None:
    try:
        while True:
            for each in pair:
                each.save(steering) if is_steering else save_checkpoint(state, checkpoint)
    finally:
        os._exit(0)
