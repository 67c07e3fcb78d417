"""Translations that were made elsewhere, in the place of a teacher that is asked."""
