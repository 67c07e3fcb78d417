"""Languages: which one a text is in, which direction a row has, which rows a teacher is for."""
