"""The command `potstill`: arguments in, text and exit codes out."""
