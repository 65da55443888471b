from __future__ import annotations

import sys
from pathlib import Path

# The scripts are run from their own folder and import each other by plain names.
sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))
