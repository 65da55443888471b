"""Make many steerings, as a manifest says: concepts × models × settings; see docs/batch.md.

What is there already is not computed again, so the same command goes on after a stop or a failure.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from lineas.cli import files
from lineas.cli.console import bar, say
from lineas.errors import ConfigError, LineasError

if TYPE_CHECKING:
    from lineas.cli.batch.manifest import Job
    from lineas.cli.batch.worker import Result


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("manifest", metavar="MANIFEST", help="A TOML file that says what to make.")
    parser.add_argument(
        "--output", metavar="FOLDER", help="Where files go (default: named by the manifest, or after it)."
    )
    parser.add_argument(
        "--ray",
        nargs="?",
        const="local",
        metavar="ADDRESS",
        help="Spread the jobs over the GPUs or processors of this machine by Ray, or of the cluster at an "
        'address ("auto": the one that this machine belongs to).',
    )
    parser.add_argument(
        "--workers", type=int, metavar="N", help="Processes at once of --ray (default: GPUs, or processors)."
    )
    parser.add_argument(
        "--retries", type=int, default=1, metavar="N", help="Further tries of a job that fails (default 1)."
    )


def run(args: argparse.Namespace) -> Path:
    from lineas.cli.batch.manifest import read_manifest
    from lineas.cli.batch.results import PAGE, TABLE, Results

    _check(args)
    manifest = read_manifest(args.manifest)
    folder = files.folder(args.output or manifest.output)
    results = Results(folder, manifest.jobs)
    todo = results.open
    say(f"{len(manifest.jobs)} steerings, {len(manifest.jobs) - len(todo)} of them there already")
    results.write_table()
    with bar(len(todo), "batch", "steering") as shown:
        for result in _results(args, todo):
            row = results.add(result)
            shown.update()
            say(f"  {row['name']} ({row['model']}): {row['error'] or row['path']}")
    say(f"table: {folder / TABLE}\npage: {folder / PAGE}")
    if failed := results.failed:
        raise LineasError(
            f"{len(failed)} of {len(manifest.jobs)} steerings failed, the first is {failed[0]['name']!r}: "
            f"{failed[0]['error']} The same command tries these again."
        )
    return folder


def _results(args: argparse.Namespace, jobs: list[Job]) -> Iterator[Result]:
    from lineas.cli.batch.manifest import by_model
    from lineas.cli.batch.ray_workers import results_by_ray
    from lineas.cli.batch.worker import Worker

    ordered = [job for _, each in by_model(jobs) for job in each]
    if not ordered:
        return
    if args.ray is not None:
        yield from results_by_ray(ordered, args.retries, args.ray, args.workers)
        return
    worker = Worker()
    for job in ordered:
        yield worker.attempt(job, args.retries)


def _check(args: argparse.Namespace) -> None:
    if args.retries < 0 or (args.workers is not None and args.workers < 1):
        raise ConfigError("--retries takes a number from 0 on, --workers from 1 on.")
    if args.workers is not None and args.ray is None:
        raise ConfigError("--workers belongs to --ray; without it one process does the jobs.")
