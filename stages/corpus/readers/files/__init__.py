"""What a file is, by its content, and how it is opened: packed, inside an archive, one of several shards."""
