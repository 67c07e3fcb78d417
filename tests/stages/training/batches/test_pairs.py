"""Streams a pair: whose rows, which tags, and how often each comes, against the formula."""

import itertools
from collections import Counter
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from data.errors import ModelError
from data.language_tags import Direction
from stages.training.batches.batches import BatchSource
from stages.training.batches.mixture import Mixture, Place
from stages.training.batches.pairs import Tagging, by_pair, pair_of, sampling_shares
from stages.training.languages_config import LanguagesConfig
from stages.training.schedules import Schedule
from stages.training.vocabulary import Vocabulary
from tests.stages.training.toy import WORDS, Spaces, pairs, stream

EN_DE, EN_SV, DE_EN = Direction("en", "de"), Direction("en", "sv"), Direction("de", "en")
TAGGING = Tagging.of(LanguagesConfig(tags="both"), [EN_DE, EN_SV, DE_EN])


def rows_of(direction: Direction, count: int, seed: int = 0) -> pa.Table:
    table = pairs(count, seed)
    table = table.append_column("source_language", pa.array([direction.source] * count))
    return table.append_column("target_language", pa.array([direction.target] * count))


def mixed(*parts: pa.Table) -> pa.Table:
    table = pa.concat_tables(parts)
    return table.take(np.random.default_rng(1).permutation(table.num_rows))


def source_of(part: Any, vocabulary: Vocabulary) -> BatchSource:
    return BatchSource(part, Spaces(), vocabulary, vocabulary, 60, 50, 200, 1)


@pytest.mark.parametrize(
    ("temperature", "expected"),
    [(1.0, {EN_DE: 0.8, EN_SV: 0.2}), (2.0, {EN_DE: 2 / 3, EN_SV: 1 / 3}), (1000.0, {EN_DE: 0.5, EN_SV: 0.5})],
)
def test_shares_are_rows_to_the_power_of_the_inverse_temperature(
    temperature: float, expected: dict[Direction, float]
) -> None:
    assert sampling_shares({EN_DE: 400, EN_SV: 100}, temperature) == pytest.approx(expected, abs=1e-3)


def test_batches_come_as_often_as_the_formula_says() -> None:
    held = stream("reference", mixed(rows_of(EN_DE, 160), rows_of(EN_SV, 40, 1), rows_of(DE_EN, 10, 2)))
    found = by_pair([held], TAGGING, 2.0)
    vocabulary = Vocabulary.from_tokens([*WORDS, *TAGGING.tokens()])
    sources = {part.name: source_of(part, vocabulary) for part in found.streams}
    shares = {name: float(share) for name, share in found.shares({"reference": 3.0}).items()}  # type: ignore[arg-type]
    mixture = Mixture(sources, lambda step: shares, 5)
    drawn = Counter(batch.stream for batch, _ in itertools.islice(mixture.batches(Place()), 3000))
    roots = {"reference/en-de": 160**0.5, "reference/en-sv": 40**0.5, "reference/de-en": 10**0.5}
    for name, root in roots.items():
        share = root / sum(roots.values())
        assert drawn[name] == pytest.approx(3000 * share, abs=4 * (3000 * share * (1 - share)) ** 0.5)


def test_each_pair_has_its_rows_with_its_tags_before_them() -> None:
    held = stream("reference", mixed(rows_of(EN_DE, 30), rows_of(DE_EN, 20, 1)))
    vocabulary = Vocabulary.from_tokens([*WORDS, *TAGGING.tokens()])
    found = {part.name: part for part in by_pair([held], TAGGING).streams}
    assert set(found) == {"reference/de-en", "reference/en-de"}
    wanted = {"reference/en-de": (["<from:en>", "<2de>"], 30), "reference/de-en": (["<from:de>", "<2en>"], 20)}
    for name, (tags, count) in wanted.items():
        batches = list(source_of(found[name], vocabulary).batches(_start(), epochs=1))
        assert sum(len(batch.src) for batch in batches) == count
        assert all([vocabulary.tokens[number] for number in row[:2]] == tags for batch in batches for row in batch.src)
        # Of what is stored, no text has one.
        table = found[name].shards[0]()
        assert not any("<" in text for column in ("source", "reference") for text in table[column].to_pylist())


def test_a_pairs_stream_reads_no_shard_without_its_rows_and_counts_no_row_without_target() -> None:
    empty = rows_of(EN_SV, 5, 3).set_column(1, "reference", pa.nulls(5, pa.string()))
    held = stream("reference", rows_of(EN_DE, 7), pa.concat_tables([rows_of(DE_EN, 4, 1), empty]))
    found = by_pair([held], TAGGING)
    assert [(part.name, len(part.shards)) for part in found.streams] == [("reference/de-en", 1), ("reference/en-de", 1)]
    assert found.rows == {"reference": {EN_DE: 7, DE_EN: 4}}


class OfGerman:
    """Soft targets of a teacher that was for en-de alone."""

    def read(self, table: pa.Table) -> dict[str, Any]:
        return {}

    def is_for(self, schema: pa.Schema, pair: str) -> bool:
        return pair == "en-de"


def test_a_pair_that_no_teacher_scored_has_no_soft_targets() -> None:
    held = stream("hypothesis", mixed(rows_of(EN_DE, 9), rows_of(EN_SV, 6, 1)), soft_targets=OfGerman())
    others = stream("reference", rows_of(EN_SV, 3))
    found = by_pair([held, others], TAGGING)
    taught = {part.name: part.soft_targets is not None for part in found.streams}
    assert taught == {"hypothesis/en-de": True, "hypothesis/en-sv": False, "reference/en-sv": False}
    assert found.untaught == ["hypothesis/en-sv"]


def test_shares_of_schedules_stay_schedules() -> None:
    found = by_pair([stream("reference", rows_of(EN_DE, 30), rows_of(DE_EN, 10, 1))], TAGGING)
    course = found.shares({"reference": Schedule(start=1.0, end=0.0, until=10)})["reference/en-de"]
    assert isinstance(course, Schedule) and (course.start, course.end, course.until) == (0.75, 0.0, 10)


def test_without_tags_nothing_stands_before_a_source() -> None:
    tagging = Tagging.of(LanguagesConfig(tags="none"), [EN_DE, DE_EN])
    found = by_pair([stream("reference", rows_of(EN_DE, 3), rows_of(DE_EN, 3))], tagging)
    assert {part.source_prefix for part in found.streams} == {()} and tagging.tokens() == ()


def test_a_language_without_a_tag_is_an_error() -> None:
    with pytest.raises(ModelError, match="no language fr"):
        by_pair([stream("reference", rows_of(Direction("en", "fr"), 3))], TAGGING)


def test_a_streams_name_tells_its_pair() -> None:
    assert (pair_of("hypothesis/en-de"), pair_of("hypothesis")) == ("en-de", "")


def _start() -> Any:
    from stages.training.batches.batches import Position

    return Position()
