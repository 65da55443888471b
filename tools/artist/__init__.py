"""The artist's list: what people do with the nodes, tried on a real server. See docs/comfyui.md."""
