"""LinEAS (arXiv 2503.10679): maps at all sites, trained end to end on a distributional cost."""
