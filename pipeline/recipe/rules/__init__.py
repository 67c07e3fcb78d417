"""Faults that no section alone can show: a rule a file, each a generator of lines."""
