"""Steerings on a model: by hooks or in its weights, where and when."""
