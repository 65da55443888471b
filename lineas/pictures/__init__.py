"""Contact sheets, charts and lettering."""
