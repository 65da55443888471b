"""Methods: ways to fit a steering to a problem, all with the one signature `fit(problem, config, progress)`."""
