"""A few processes of torch.distributed on this machine, forked so that nothing is imported again."""

from __future__ import annotations

import multiprocessing
import traceback
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from queue import Empty
from typing import Any

import torch.distributed as distributed

SECONDS = 240
"""A busy machine takes long; a deadlock is what this ends."""


def run(count: int, action: Callable[[int], Any], folder: Path) -> list[Any]:
    """What `action(rank)` returns in each process; an exception as its text. Fails where one never ends."""
    context = multiprocessing.get_context("fork")
    answers: Any = context.Queue()
    meeting = f"file://{folder / 'meeting'}"
    each = [context.Process(target=_one, args=(r, count, action, meeting, answers)) for r in range(count)]
    for process in each:
        process.start()
    try:
        told = dict(answers.get(timeout=SECONDS) for _ in each)
    except Empty:
        raise AssertionError(f"after {SECONDS} s not all of {count} processes had ended") from None
    finally:
        for process in each:
            process.join(1)
            process.kill()
    return [told[rank] for rank in range(count)]


def _one(rank: int, count: int, action: Callable[[int], Any], meeting: str, answers: Any) -> None:
    distributed.init_process_group(
        "gloo", init_method=meeting, rank=rank, world_size=count, timeout=timedelta(seconds=SECONDS / 2)
    )
    try:
        answers.put((rank, action(rank)))
    except Exception:
        answers.put((rank, traceback.format_exc()))
    answers.close()
    answers.join_thread()
