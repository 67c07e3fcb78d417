"""sides: whether what stands beside one another in the corpus belongs together, once the teacher has translated it.

A file that lost a line, a shuffled side, swapped columns or a wrong language are no error of any row: every row is
text, and a run would go through to its report. What is found is told as a warning, and nothing is turned down.
"""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from data.artifact import Artifact
from data.runtime import Runtime
from stages.languages.identification import LanguageIdentifier
from stages.sides import likeness, spoken
from stages.sides.sample import Sample, Size, draw
from stages.sides.telling import told_of_languages, told_of_references

VERSION = "1"
INPUTS = ("corpus", "decode")
LIBRARIES = ("lingua-language-detector",)
# Of larger corpora no more is looked at, so its time grows no further; for the estimate.
MOST_ROWS = 20_000


class Config(BaseModel):
    """How much is looked at."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    sample_rows: int = Field(
        1500,
        description="of each source three rows in a hundred are looked at, but at least 200 and at most so many; "
        "0: none",
        ge=0,
        le=100_000,
    )


def run(inputs: Mapping[str, Artifact], config: Config, output: Artifact, runtime: Runtime) -> dict[str, Any]:
    """Writes nothing; returns what was looked at by source, and a warning for each thing that is wrong."""
    samples = draw(inputs["corpus"], inputs["decode"], Size(config.sample_rows)) if config.sample_rows else {}
    tags = {tag for one in samples.values() for tag in (one.source_language, one.target_language)}
    identifier = LanguageIdentifier(known=tags)
    looked_at, warnings = {}, list[str]()
    for number, (origin, sample) in enumerate(sorted(samples.items()), 1):
        looked_at[origin], told = _look(origin, sample, identifier)
        warnings += told
        runtime.progress(number, len(samples), {})
    return {"sources": looked_at, "warnings": warnings}


def _look(origin: str, sample: Sample, identifier: LanguageIdentifier) -> tuple[dict[str, Any], list[str]]:
    languages = spoken.find(sample, identifier)
    told = list(told_of_languages(origin, sample, languages))
    compared = likeness.compare(sample)
    for finding in likeness.findings(compared):
        # Where a side is in another language, references are unlike the translations for that reason.
        if not any(one.first <= finding.last and finding.first <= one.last for one in languages):
            told.append(told_of_references(origin, sample, finding))
    own, other = int((compared.beaten < 0).sum()), int((compared.beaten > 0).sum())
    return {"rows": len(sample.places), "with_reference": len(compared.rows), "own": own, "other": other}, told
