"""Sweeps over a recipe: which settings are tried, how they come out, and what is left to read."""
