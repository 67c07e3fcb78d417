"""corpus: sources are read, checked, told apart by their ids, sorted, split and written."""
