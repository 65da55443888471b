"""The bundled one-step text-to-image model: small composed scenes in everyday words."""
