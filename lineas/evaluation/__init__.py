"""Measurements of what a steering does: how much of the concept is gone, how much of the rest stayed."""
