"""Steerings as files that other tools load."""
