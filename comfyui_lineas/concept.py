"""Prompt sets of a concept, as texts with one prompt per line."""

from __future__ import annotations

KINDS = ("object", "style", "attribute", "perspective")
DIRECTIONS = ("remove", "add")
BANKS = ("everyday captions", "scenes model")
