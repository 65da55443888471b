"""Measurements; every one is a command: python -m benchmarks.images.intents --help."""
