"""filter: a verdict on every row, with all reasons."""
