"""Measurements; every one is a command: python -m benchmarks.images.erasure --help."""
