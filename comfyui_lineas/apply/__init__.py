"""A steering on a MODEL and a CLIP."""
