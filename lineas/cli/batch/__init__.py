"""Many steerings from one manifest: jobs, the worker that does them, and what becomes of the results."""
