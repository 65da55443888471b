"""LinEAS steering as ComfyUI nodes: thin nodes over small modules, one concern per module."""
