"""Activation steering trained end to end from prompts (LinEAS, arXiv 2503.10679)."""

__version__ = "0.1.0"
