"""Translations that look hallucinated, counted by what two texts show: loops, wild lengths, copies, another language.

The signs are those of https://aclanthology.org/2021.naacl-main.92 (detached and oscillatory hallucinations) as far as
they can be seen without a model; the same measures as in the stage filter. The references are counted, too: what is
wrong with them by these rules says how often the rules are wrong.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, field_validator

from stages.languages.identification import LanguageIdentifier, known_language
from stages.text import measures as text

FLAGS = ("empty", "repetition", "length", "copy", "language")


class Config(BaseModel):
    """From where on a translation looks hallucinated; the bounds are those of the filter's default rules.

    Lengths are an exception: here the references are counted as well, so bounds may be narrower.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    enabled: bool = Field(True, description="count them; a thousand sentences take a second or so for each system")
    repetition: float = Field(
        0.5,
        ge=0,
        le=1,
        description="a larger share of the words, or letters of scripts without spaces, in one sequence said three "
        "times running, or more",
    )
    shortest: float = Field(0.2, ge=0, description="fewer characters than so many times those of the source")
    longest: float = Field(5.0, gt=0, description="more characters than so many times those of the source")
    source_copy: float = Field(
        0.8, ge=0, le=1, description="a larger share of the source's words in their order; from four words on"
    )
    language_probability: float = Field(
        0.1, ge=0, le=1, description="a smaller probability of the target language; from 20 letters on"
    )
    other_languages: tuple[str, ...] = Field(
        (),
        description="tags of languages that the target is told apart from with most care, beside those of the test "
        "set; all others that lingua knows are looked for as well",
    )

    @field_validator("other_languages")
    @classmethod
    def _known(cls, tags: tuple[str, ...]) -> tuple[str, ...]:
        if unknown := [tag for tag in tags if known_language(tag) is None]:
            raise ValueError(f"lingua does not know {', '.join(unknown)}; leave out what it cannot tell apart")
        return tags

    def among(self, languages: Iterable[str]) -> "Config":
        """The same, with these languages told apart as well."""
        return self.model_copy(update={"other_languages": tuple(sorted({*self.other_languages, *languages}))})


class Flag(NamedTuple):
    """What is wrong with one translation: the measure and its value."""

    name: str
    value: float


class Row(NamedTuple):
    """What is known of a sentence beside its translations."""

    source: str
    source_language: str
    target_language: str


def find_flags(rows: Sequence[Row], lines: Sequence[str], config: Config) -> tuple[list[list[Flag]], dict[str, int]]:
    """Each translation's flags, and of how many each measure was known that not every text has."""
    identifier = LanguageIdentifier(config.other_languages, {row.target_language for row in rows})
    flags, known = [], dict.fromkeys(FLAGS[1:], 0)
    for row, line in zip(rows, lines, strict=True):
        measures = _measure(row, line, identifier)
        for name in known:
            known[name] += measures[name] is not None
        flags.append(list(_wrong(measures, config)))
    return flags, known


def count_flags(flags: Sequence[Sequence[Flag]], known: Mapping[str, int]) -> dict[str, Any]:
    """{flag: {"count", "of"}} for every flag and for `any`, which counts translations that have one or more."""
    counts = {name: sum(any(flag.name == name for flag in row) for row in flags) for name in FLAGS}
    found = {name: {"count": count, "of": known.get(name, len(flags))} for name, count in counts.items()}
    return found | {"any": {"count": sum(map(bool, flags)), "of": len(flags)}}


def _measure(row: Row, line: str, identifier: LanguageIdentifier) -> dict[str, float | None]:
    if not line.strip():
        return {"empty": 1.0, "repetition": None, "length": None, "copy": None, "language": None}
    return {
        "empty": None,
        "repetition": text.repetition(line),
        "length": text.length_ratio(row.source, line),
        "copy": text.source_copy(row.source, line),
        "language": identifier.probability(line, row.source_language, row.target_language),
    }


def _wrong(measures: Mapping[str, float | None], config: Config) -> Iterator[Flag]:
    allowed = {
        "empty": (0.0, 0.0),
        "repetition": (0.0, config.repetition),
        "length": (config.shortest, config.longest),
        "copy": (0.0, config.source_copy),
        "language": (config.language_probability, 1.0),
    }
    for name, (low, high) in allowed.items():
        value = measures[name]
        if value is not None and not low <= value <= high:
            yield Flag(name, value)
