"""What `potstill estimate` is made of: a sample, trial runs of all stages on it, and what follows for the whole."""
