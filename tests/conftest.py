from __future__ import annotations

from hypothesis import settings

# The same examples on every run, and no deadline: first calls import and compile, machines differ.
settings.register_profile("lineas", derandomize=True, deadline=None)
settings.load_profile("lineas")
