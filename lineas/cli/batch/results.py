"""The folder of a batch: a steering, a picture and a record for each job, one table and one page of all."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lineas.cli.batch.manifest import Job
from lineas.cli.batch.page import page
from lineas.cli.batch.worker import Result
from lineas.steering.files import write_atomically

TABLE, PAGE = "results.csv", "index.html"
HEAD = ("name", "intent", "concept", "to", "model", "setting", "path", "seconds", "error")
Row = dict[str, Any]


class Results:
    """What is there of the jobs of a batch; a job of which all is there is never done again.

    folder: where everything goes. A job's files are `job.place` with .safetensors, .png and .json.
    """

    def __init__(self, folder: Path, jobs: Sequence[Job]) -> None:
        self.folder, self.jobs = folder, list(jobs)
        self._rows = {job.digest: row for job in jobs if (row := self._record(job)) is not None}

    @property
    def open(self) -> list[Job]:
        """Jobs that are still to do: those that failed too."""
        return [job for job in self.jobs if self._rows.get(job.digest, {"error": "new"})["error"]]

    @property
    def failed(self) -> list[Row]:
        """Rows of jobs that ended in an error."""
        return [row for row in self.rows if row["error"]]

    @property
    def rows(self) -> list[Row]:
        """One for each job that ended, in the order of the manifest."""
        return [self._rows[job.digest] for job in self.jobs if job.digest in self._rows]

    def add(self, result: Result) -> Row:
        """Write what came of a job, the steering before its record, and the table anew; returns the row."""
        job, place = result.job, self.folder / result.job.place
        place.parent.mkdir(parents=True, exist_ok=True)
        if result.steering:
            write_atomically(f"{place}.safetensors", result.steering)
        if result.picture:
            write_atomically(f"{place}.png", result.picture)
        row: Row = {
            **{name: getattr(job, name) for name in ("intent", "concept", "to", "model", "setting")},
            "name": job.label,
            "path": f"{job.place}.safetensors" if result.steering else "",
            "picture": f"{job.place}.png" if result.picture else "",
            "seconds": result.seconds,
            "error": result.error,
            "attempts": result.attempts,
            "figures": dict(result.figures),
            "texts": [list(each) for each in result.texts],
            "notes": list(result.notes),
            "digest": job.digest,
        }
        write_atomically(f"{place}.json", (json.dumps(row, indent=2, ensure_ascii=False) + "\n").encode())
        self._rows[job.digest] = row
        self.write_table()
        return row

    def write_table(self) -> None:
        """results.csv and index.html, from the rows that there are."""
        self.folder.mkdir(parents=True, exist_ok=True)
        write_atomically(self.folder / TABLE, table(self.rows).encode())
        write_atomically(self.folder / PAGE, page(self.folder.name, self.rows, len(self.jobs)).encode())

    def _record(self, job: Job) -> Row | None:
        """What is there of a job as it is asked for now: a record of the same digest, and its steering."""
        try:
            row: Row = json.loads((self.folder / f"{job.place}.json").read_text(encoding="utf-8"))
            same = row["digest"] == job.digest and isinstance(row["error"], str)
            whole = bool(row["error"]) or (self.folder / row["path"]).is_file()
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return row if same and whole else None


def table(rows: Sequence[Row]) -> str:
    """The rows as CSV, every figure that any of them has in a column of its own."""
    figures = list(dict.fromkeys(name for row in rows for name in row["figures"]))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*HEAD, *figures])
    for row in rows:
        values = [row["figures"].get(name, "") for name in figures]
        writer.writerow(["" if row[name] is None else row[name] for name in HEAD] + values)
    return text.getvalue()
