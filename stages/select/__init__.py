"""select: which hypothesis a student is to learn."""
