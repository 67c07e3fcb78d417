"""decode: sources -> n-best lists."""
