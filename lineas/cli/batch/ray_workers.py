"""A batch over the processors or GPUs of a machine or a cluster, by Ray, which schedules and retries."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from lineas.cli.batch.manifest import Job
from lineas.cli.batch.worker import Result, Worker
from lineas.errors import LineasError, plain, require

LOCAL = "local"
STARTS = 3
"""Times that a local Ray is tried to be started."""
STORE = 2**28
"""Bytes for results on their way from a local worker, a few MB each. Ray would take a third of the memory."""
_worker: Worker | None = None


def work(job: Job, retries: int) -> Result:
    """A job in a process of Ray, which keeps its worker for the next one."""
    global _worker
    _worker = _worker or Worker()
    return _worker.attempt(job, retries)


def results_by_ray(
    jobs: Sequence[Job], retries: int, address: str = LOCAL, workers: int | None = None
) -> Iterator[Result]:
    """The results as they come, in any order.

    retries: of a job whose process died, or that failed by chance. address: "local" starts Ray here, others
    join a cluster ("auto", or as `ray.init` takes them). workers: at once, of a local one; None is one for
    each GPU, else for each processor. On a cluster every job takes a processor, and a GPU where there are
    any. Raises `LineasError` where Ray cannot be started or joined.
    """
    ray = require("ray", "ray")
    _start(ray, address, workers)
    try:
        gpus = ray.cluster_resources().get("GPU", 0)
        # max_calls: processes keep their model between jobs, with a GPU too.
        options = {"num_cpus": 1, "num_gpus": 1 if gpus else 0, "max_retries": retries, "max_calls": 0}
        remote = ray.remote(**options)(work)
        yield from _as_they_come(ray, {remote.remote(job, retries): job for job in jobs})
    finally:
        ray.shutdown()


def _start(ray: Any, address: str, workers: int | None) -> None:
    """Start Ray here, or join it. Ray gives its node 15 seconds for what a busy machine takes longer for when
    nothing of it is in memory yet; the next start finds it there."""
    local = {"num_cpus": workers, "include_dashboard": False, "object_store_memory": STORE}
    options: dict[str, Any] = local if address == LOCAL else {"address": address}
    for left in reversed(range(STARTS if address == LOCAL else 1)):
        try:
            ray.init(**options, log_to_driver=False, configure_logging=False, ignore_reinit_error=True)
            return
        except Exception as error:
            ray.shutdown()
            if left:
                continue
            raise LineasError(
                f"Ray cannot be started or joined at {address!r}: {plain(error).rstrip('.')}. Start a "
                "cluster with ray start --head, or leave --ray without an address to start one here."
            ) from error


def _as_they_come(ray: Any, waiting: dict[Any, Job]) -> Iterator[Result]:
    while waiting:
        (done, *_), _ = ray.wait(list(waiting), num_returns=1)
        job = waiting.pop(done)
        try:
            yield ray.get(done)
        except ray.exceptions.RayError as error:
            yield Result(job, error=f"its process ended: {plain(str(error).strip().splitlines()[0])}")
