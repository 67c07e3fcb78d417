"""dataset: accepted rows, joined, with their card; and the same as text for other trainers."""
