"""student: what it is trained on, what it starts from, and its training; the baseline is one, too."""
