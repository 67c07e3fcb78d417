"""Objectives that compare the student with a teacher in memory: what the two compute inside, not only what comes out.

`config`, `layers`, `named` and `faults` are light; `terms.OnlineTerms` is what a training is given.
"""
