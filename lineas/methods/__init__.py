"""Methods: ways to fit a steering to a problem, with one signature `fit(problem, config, progress)`."""
