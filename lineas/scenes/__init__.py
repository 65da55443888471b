"""The bundled one-step text-to-image model: small composed scenes in everyday words."""

from lineas.scenes.bundled import CLIP, PIPELINE, accuracies, load_clip, load_pipeline, warn_of_unknown_words
from lineas.scenes.concepts import ConceptSets, concept_sets
from lineas.scenes.detector import Detector
from lineas.scenes.grammar import Scene, parse, prompt, random_scene, vocabulary
from lineas.scenes.render import render

__all__ = [
    "CLIP",
    "PIPELINE",
    "ConceptSets",
    "Detector",
    "Scene",
    "accuracies",
    "concept_sets",
    "load_clip",
    "load_pipeline",
    "parse",
    "prompt",
    "random_scene",
    "render",
    "vocabulary",
    "warn_of_unknown_words",
]
