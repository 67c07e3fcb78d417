"""Quality test set by test set, where the recipe names several: each whole, beside all of them together."""

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from data.artifact import Artifact
from stages.evaluate.quality import Scoring, score_systems


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
