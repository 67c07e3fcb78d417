"""How each kind of corpus source is read, one row at a time; used by `stages.corpus` alone."""
