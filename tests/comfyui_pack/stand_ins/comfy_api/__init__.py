"""A stand-in that records what node schemas say, where no ComfyUI is."""
