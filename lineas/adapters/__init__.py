"""Models of diffusers and transformers as problems to fit a steering to."""
