"""What ComfyUI's models are called, and which steerings fit them."""
