"""teacher: a model of any kind becomes a CTranslate2 folder that says how it is asked."""
