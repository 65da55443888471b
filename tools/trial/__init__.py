"""A trial of the library by hostile files, kills and interrupts; `python -m tools.trial --help`."""
