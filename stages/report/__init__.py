"""report: one web page of all that was measured."""
