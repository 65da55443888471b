"""Prompt sets: a bank of neutral captions, concepts woven into them, and files of prompts."""

from lineas.prompts.concepts import KINDS, ConceptPrompts, concept_prompts, directed
from lineas.prompts.files import hash_prompts, neutral_captions, read_prompts

__all__ = [
    "KINDS",
    "ConceptPrompts",
    "concept_prompts",
    "directed",
    "hash_prompts",
    "neutral_captions",
    "read_prompts",
]
