"""How each kind of corpus source is read, one row at a time; a new kind begins in `sources` and `origins`."""
