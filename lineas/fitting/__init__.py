"""What every fit needs: a problem, options, micro-batches, progress, resuming."""
