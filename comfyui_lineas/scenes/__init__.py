"""The bundled model by ComfyUI's own classes."""
