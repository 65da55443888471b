"""Modules of a network: their names, their kinds, and what they give while the model runs."""
