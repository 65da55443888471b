"""Measurements on language models."""
