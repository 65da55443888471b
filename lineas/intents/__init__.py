"""Intents: remove, add or swap, as a plan that says what will be done and why."""
