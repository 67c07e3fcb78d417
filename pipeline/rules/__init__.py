"""Faults between sections of a recipe, a rule a file; pipeline/cross_faults.py has them all."""
