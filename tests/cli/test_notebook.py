"""The notebook of the documentation runs from top to bottom, with fewer steps, and shows what it says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

NOTEBOOK = Path(__file__).parents[2] / "docs" / "first_steering.ipynb"
CELLS = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]


def test_it_is_kept_without_what_a_run_printed() -> None:
    code = [cell for cell in CELLS if cell["cell_type"] == "code"]
    assert code and not any(cell["outputs"] or cell["execution_count"] for cell in code)


def test_it_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    for cell in CELLS:
        if cell["cell_type"] == "code":
            exec("".join(cell["source"]).replace("STEPS = 30", "STEPS = 2"), names)
    images = {name: np.asarray(names[name], float) for name in ("plain", "steered", "halfway", "fused")}
    assert np.array_equal(np.asarray(names["draw"](names["night"]), float), images["plain"])
    changed = {name: np.abs(image - images["plain"]).mean() for name, image in images.items()}
    assert 0 < changed["halfway"] < changed["steered"]
    np.testing.assert_allclose(images["fused"], images["steered"], atol=2)
    assert names["again"].allclose(names["steering"]) and (tmp_path / "no-night.safetensors").is_file()
