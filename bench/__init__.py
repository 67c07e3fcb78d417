"""Benchmarks: each suite measures ours and its peers side by side, prints a table and leaves results/<suite>.json."""
