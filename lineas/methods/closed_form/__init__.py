"""Methods that estimate maps from rows, site by site, without a gradient."""
