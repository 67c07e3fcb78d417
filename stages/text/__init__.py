"""Text: tokenizers, and what is measured of texts and of a text against another."""
