"""Measurements on image models."""
