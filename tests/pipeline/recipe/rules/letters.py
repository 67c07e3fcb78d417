"""Recipes over a corpus of one pair, for what is told when a recipe is read."""

from pathlib import Path

from pipeline.recipe.recipe import Recipe, read_recipe

# To be followed by other sections, and formatted.
CORPUS = """
[corpus]
source_language = "en"
target_language = "de"
[[corpus.sources]]
name = "letters"
kind = "tsv"
file = "{corpus}"
target_column = 1
"""


def read_letters(folder: Path, text: str, *overrides: str, **fields: str) -> Recipe:
    """A recipe that begins with CORPUS; raises ConfigError with its faults."""
    corpus, recipe = folder / "corpus.tsv", folder / "recipe.toml"
    corpus.write_text("a\tb\n")
    recipe.write_text(text.format(corpus=corpus, **fields))
    return read_recipe(recipe, overrides)
