"""fuse: the soft targets of several teachers become one."""
