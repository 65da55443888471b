"""The bundled text-to-image models: small composed scenes in everyday words."""

BUNDLED = ("scenes", "scenes-transformer")
"""The bundled models by name; the first one where none is named."""
