"""Translations of the nodes' names and tooltips, and what makes the files of them that frontends read."""
