"""A TOML file becomes a graph of stages with their configs, or a list of all its faults."""
