"""Methods that learn from a language model's loss or from a reward."""
