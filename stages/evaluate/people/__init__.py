"""A blind sheet on which people compare two systems, and what filled ones say."""
