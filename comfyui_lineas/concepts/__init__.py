"""A concept in one node: learned on first use, taken from its file from then on."""
