"""Quality test set by test set, where the recipe names several: each whole, beside all of them together."""

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from data.artifact import Artifact
from data.errors import DataError
from stages.evaluate.quality import Scoring, score_systems
from stages.languages.directions import COLUMNS

# Columns of translations beside the systems'.
GIVEN = ["id", "source", "reference", *COLUMNS]


def describe_test_set(rows: pa.Table, without_reference: int, timed: int) -> dict[str, Any]:
    """What the report says of the test set; `timed`: sentences of it that speed is measured on, at most."""
    return {
        "sentences": rows.num_rows,
        "without_reference": without_reference,
        "timed_sentences": min(rows.num_rows, timed),
        "source_languages": sorted(set(rows["source_language"].to_pylist())),
        "target_languages": sorted(set(rows["target_language"].to_pylist())),
    }


def test_rows(corpus: Artifact) -> tuple[pa.Table, int]:
    """Rows with a reference, and how many have none; raises DataError when all have none."""
    tables = list(corpus.tables("test-", [*GIVEN, "origin"]))
    rows = pa.concat_tables(tables) if tables else None
    kept = rows.filter(pc.is_valid(rows["reference"])) if rows is not None else None
    if rows is None or kept is None or kept.num_rows == 0:
        raise DataError(
            f"{corpus.url}: no test row has a reference, so nothing can be evaluated; hold out more of the corpus "
            "or name a test set with references"
        )
    return kept, rows.num_rows - kept.num_rows


def named_sets(corpus: Artifact) -> list[str]:
    """The test sets that the recipe names, in its order."""
    sources: Mapping[str, Any] = corpus.manifest().metrics.get("sources", {})
    return [name for name, source in sources.items() if source["role"] == "test"]


def score_test_sets(
    names: Sequence[str],
    rows: pa.Table,
    translated: Mapping[str, Sequence[str]],
    scoring: Scoring,
    *,
    tokenizer_by_language: bool,
) -> list[dict[str, Any]]:
    """{"name", "source_language", "target_language", "sentences", "systems"} of each set that has rows here.

    `rows` have origins; `systems` as `score_systems` has them. Of one set alone there is nothing to tell apart: empty.
    `tokenizer_by_language`: BLEU's tokenisation is that of the set's target language, and not the one of `scoring`.
    """
    if len(names) < 2:
        return []
    found = []
    for name in names:
        places = pc.indices_nonzero(pc.equal(rows["origin"], name)).to_pylist()
        if not places:
            continue
        own = rows.take(places)
        target = own["target_language"][0].as_py()
        scored = scoring.of_languages([target], tokenizer_by_language=tokenizer_by_language)
        lines = {system: [texts[place] for place in places] for system, texts in translated.items()}
        found.append(
            {
                "name": name,
                "source_language": own["source_language"][0].as_py(),
                "target_language": target,
                "sentences": len(places),
                "systems": score_systems(lines, own["reference"].to_pylist(), scored),
            }
        )
    return found
