"""Whether each side of a source is in the language that the recipe says."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from stages.languages.identification import LanguageIdentifier
from stages.sides.sample import Sample
from stages.sides.stretches import clearest, evidence

Side = Literal["source", "reference"]
# So many texts of a side are looked at, and so many have to be judged.
_MOST, _FEWEST = 200, 20
_SHORTEST = 10  # characters; shorter ones are in no language
_SURE = 15.0
# Below, a text is not in its language: as the filter's rule has it.
_LEAST_PROBABILITY = 0.1
# How often it is so where the language is another one, and where all is right.
_ELSEWHERE = (0.6, 0.1)
# The language that most of the texts seem to be in is named if so many are.
_MOST_PART = 0.5


@dataclass(frozen=True)
class Spoken:
    """A stretch of a sample's rows, from `first` to `last`, that are not in the language of their side.

    `looks_like`: lingua's name of what most seem to be in, empty where it cannot be told.
    """

    side: Side
    first: int
    last: int
    judged: int
    elsewhere: int
    looks_like: str
    examples: tuple[int, ...]


def find(sample: Sample, identifier: LanguageIdentifier) -> list[Spoken]:
    """A finding for each side in which something is wrong."""
    languages = sample.source_language, sample.target_language
    found = (
        _side("source", sample.sources, languages[::-1], identifier),
        _side("reference", sample.references, languages, identifier),
    )
    return [one for one in found if one is not None]


def _side(
    side: Side, texts: Sequence[str | None], languages: tuple[str, str], identifier: LanguageIdentifier
) -> Spoken | None:
    """What is wrong with a side; `languages`: the other side's and its own."""
    long_enough = [row for row, text in enumerate(texts) if text and len(text) >= _SHORTEST]
    # Evenly over the rows, which are in the order of their lines.
    places = np.linspace(0, len(long_enough) - 1, min(len(long_enough), _MOST)).astype(int)
    asked = (
        (long_enough[place], identifier.probability(texts[long_enough[place]] or "", *languages)) for place in places
    )
    judged = [(row, 1 if told < _LEAST_PROBABILITY else -1) for row, told in asked if told is not None]
    if len(judged) < _FEWEST:
        return None
    rows, signs = zip(*judged, strict=True)
    found = np.array(signs, dtype=np.int8)
    stretch = clearest(evidence(found, *_ELSEWHERE))
    wrong = [row for row, sign in zip(rows[stretch.rows], signs[stretch.rows], strict=True) if sign > 0]
    if stretch.evidence < _SURE:
        return None
    names = Counter(name for row in wrong if (name := identifier.nearest(texts[row] or "")))
    name, times = names.most_common(1)[0] if names else ("", 0)
    return Spoken(
        side,
        rows[stretch.begin],
        rows[stretch.end - 1],
        stretch.end - stretch.begin,
        len(wrong),
        name if times >= _MOST_PART * len(wrong) else "",
        tuple(wrong),
    )
