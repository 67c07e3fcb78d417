"""export: a student becomes a CTranslate2 folder that translates."""
