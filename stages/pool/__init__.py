"""pool: the n-best lists of several teachers become one."""
