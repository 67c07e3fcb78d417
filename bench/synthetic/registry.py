"""The pipeline as far as the dataset, with the model's work made up."""

from pathlib import Path

from bench.generator import MAX_CHARACTERS, Made
from pipeline.recipe.graph import StageEntry

SCALE_STAGES = (
    StageEntry("corpus", "stages.corpus.stage", required=True),
    StageEntry("tokenizer", "stages.tokenizer.stage"),
    StageEntry("teacher", "bench.synthetic.teacher"),
    StageEntry("decode", "bench.synthetic.decode"),
    StageEntry("select", "stages.select.stage"),
    StageEntry("sides", "stages.sides.stage"),
    StageEntry("score", "bench.synthetic.score"),
    StageEntry("measure", "bench.synthetic.measure"),
    StageEntry("filter", "stages.filter.stage"),
    StageEntry("dataset", "stages.dataset.stage"),
)

# As many shards as are asked for, and nothing to do for any of them.
PLAN_STAGES = (
    StageEntry("corpus", "bench.synthetic.numbers", required=True),
    StageEntry("trivial", "bench.synthetic.trivial"),
)


def write_recipe(path: Path, made: Made) -> Path:
    """A recipe over a made-up corpus, all options as a user would leave them but for what the amounts need."""
    path.write_text(
        f"""\
[run]
name = "scale"
store = "{path.parent}"
retries = 0

[corpus]
source_language = "en"
target_language = "de"
valid_fraction = 0
max_characters = {MAX_CHARACTERS}

[[corpus.sources]]
kind = "text"
name = "made"
source_file = "{made.source}"
target_file = "{made.target}"

[[corpus.test_sets]]
kind = "text"
name = "held-out"
source_file = "{made.test_source}"
target_file = "{made.test_target}"

[tokenizer]
kind = "none"
"""
    )
    return path
