"""Measurements on images."""
