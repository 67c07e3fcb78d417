"""Objectives that compare the student with a teacher in memory: what the two compute inside, not only what comes out.

`faults` is light; `terms.OnlineTerms` is what a training is given. What a recipe says of them is in `objective`.
"""
