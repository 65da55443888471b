"""Results of long benchmarks: one JSON line per cell, so that a run may be cut off and go on later."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

Key = dict[str, Any]


class Results:
    """Cells by key in a file of JSON lines. A cell that is there is never computed again.

    A last line that was cut off is dropped. Keys are plain values; their order does not matter.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.cells: dict[str, dict[str, Any]] = {}
        path.parent.mkdir(parents=True, exist_ok=True)
        for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else []:
            try:
                cell = json.loads(line)
                self.cells[_name(cell["key"])] = cell
            except (ValueError, KeyError):
                continue

    def __contains__(self, key: Key) -> bool:
        return _name(key) in self.cells

    def forget(self, key: Key) -> None:
        """Compute a cell anew when it is asked for next; the newest line of a key counts."""
        self.cells.pop(_name(key), None)

    def get(self, key: Key) -> Any:
        """The value of a cell, None where it is not there."""
        cell = self.cells.get(_name(key))
        return cell["value"] if cell else None

    def find(self, **wanted: Any) -> Iterator[tuple[Key, Any]]:
        """Key and value of the cells whose keys have all these values."""
        for cell in self.cells.values():
            if all(cell["key"].get(name) == value for name, value in wanted.items()):
                yield cell["key"], cell["value"]

    def compute(self, key: Key, work: Callable[[], Any]) -> Any:
        """The value of a cell, computed and written at once where it is not there."""
        if key not in self:
            cell = {"key": key, "value": work()}
            if self.path.exists() and not self.path.read_bytes().endswith(b"\n") and self.path.stat().st_size:
                with self.path.open("a", encoding="utf-8") as file:
                    file.write("\n")  # after a line that was cut off
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(cell, ensure_ascii=False) + "\n")
            self.cells[_name(key)] = cell
        return self.get(key)


def _name(key: Key) -> str:
    return json.dumps(key, sort_keys=True)
