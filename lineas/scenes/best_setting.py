"""What removes most and changes least on the bundled model, as benchmarks/images/erasure.py measures it."""

from __future__ import annotations

BEST = {"sites": "norms+text", "steer": "text_encoder*", "map": "gated"}
"""The words that name the concept are steered, and what that does is measured in the whole network."""
