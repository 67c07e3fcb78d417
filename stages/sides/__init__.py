"""Whether the two sides of a corpus belong together."""
