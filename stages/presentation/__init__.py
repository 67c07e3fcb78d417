"""What several pages and cards write in the same way."""
