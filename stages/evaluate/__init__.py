"""evaluate: quality, speed, size, likeness to the teacher, faults; `people` has the sheets for raters."""
