"""The loop of the trainings that run for a given time: steps, a helper's gradients, a falling rate."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
from torch import nn

from tools.scenes_model.optimiser import Optimisers, ramp
from tools.scenes_model.parallel import Helper, Losses, NoHelper


def train_for(
    minutes: float,
    model: nn.Module,
    spare: nn.Module | None,
    losses: Losses,
    optimisers: Optimisers,
    save: Callable[[], None],
    every: int = 100,
) -> None:
    """Train for so many minutes of processor time; print the loss every so often, save five times as seldom.

    spare: another model of the same build, for the process that helps; None for none.
    """
    mine, extra = losses(model, 0), Helper(spare, losses) if spare else NoHelper()
    start, step, helped, values = time.process_time(), 0, 0, []
    while (progress := (time.process_time() - start) / (60 * minutes)) < 1:
        value = next(mine)
        value.backward()
        helped += extra.share(model)
        optimisers.step(ramp(progress))
        extra.publish(model)
        values.append(value.item())
        step += 1
        if step % every == 0:
            spent, loss = time.process_time() - start, np.mean(values)
            print(f"{spent:.0f} s  step {step} (+{helped})  loss {loss:.4f}", flush=True)
            helped, values = 0, []
        if step % (5 * every) == 0:
            save()
    extra.stop()
    save()
