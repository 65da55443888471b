"""What made the files that the library ships, and what tries it out; none of it is installed."""
