"""Put a steering on a model."""

BRANCHES = ("both", "cond", "uncond")
METHODS = ("automatic", "weights", "hooks")
