"""How things look on a terminal: progress and text tables."""
