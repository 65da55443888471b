"""The steering as an object: sites, provenance, files."""
