"""Streams a pair: whose rows, which tags, and how often each comes, against the formula."""

import itertools
from collections import Counter
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from data.errors import DataError, ModelError
from data.language_tags import Direction
from stages.training.batches.batches import BatchSource, Position
from stages.training.batches.pairs import Tagging, by_pair, sampling_shares
from stages.training.batches.stream import pair_of
from stages.training.languages_config import LanguagesConfig
from stages.training.vocabulary import Vocabulary
from tests.stages.training.toy import WORDS, Spaces, pairs, stream

EN_DE, EN_SV, DE_EN = Direction("en", "de"), Direction("en", "sv"), Direction("de", "en")
TAGGING = Tagging.of(LanguagesConfig(tags="both"), [EN_DE, EN_SV, DE_EN])
VOCABULARY = Vocabulary.from_tokens([*WORDS, *TAGGING.tokens()])


def rows_of(direction: Direction, count: int, seed: int = 0) -> pa.Table:
    table = pairs(count, seed)
    table = table.append_column("id", pa.array([f"{direction}-{seed}-{row}" for row in range(count)]))
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


@pytest.mark.parametrize("temperature", [1.0, 2.0, 5.0])
def test_rows_come_as_often_as_the_formula_says(temperature: float) -> None:
    counts = {EN_DE: 400, EN_SV: 100, DE_EN: 20}
    parts = [rows_of(direction, count, number) for number, (direction, count) in enumerate(counts.items())]
    # Rows of one pair are long: shares are of rows, and not of tokens.
    long = pa.array([f"{text} {text} {text}" for text in parts[0]["source"].to_pylist()])
    parts[0] = parts[0].set_column(parts[0].schema.get_field_index("source"), "source", long)
    (found,) = by_pair([stream("reference", mixed(*parts))], TAGGING, temperature, apart=True).streams
    drawn: Counter[str] = Counter()
    epochs = 12
    for batch in source_of(found, VOCABULARY).batches(Position(), epochs):
        drawn[pair_of(batch.stream)] += len(batch.src)
    roots = {direction: count ** (1 / temperature) for direction, count in counts.items()}
    for direction, root in roots.items():
        wanted = 520 * epochs * root / sum(roots.values())
        # Of each row, over the epochs, less than two draws are missing or too many.
        assert drawn[str(direction)] == pytest.approx(wanted, abs=0.01 * wanted + 2 * counts[direction] ** 0.5 + 20)


def test_each_pair_has_its_rows_with_its_tags_before_them_in_batches_that_they_share() -> None:
    held = stream("reference", mixed(rows_of(EN_DE, 30), rows_of(DE_EN, 20, 1)))
    (found,) = by_pair([held], TAGGING).streams
    batches = list(source_of(found, VOCABULARY).batches(Position(), epochs=1))
    tags = Counter(tuple(VOCABULARY.tokens[number] for number in row[:2]) for batch in batches for row in batch.src)
    assert tags == {("<from:en>", "<2de>"): 30, ("<from:de>", "<2en>"): 20}
    assert {batch.stream for batch in batches} == {"reference"}
    assert any(len({tuple(row[:2].tolist()) for row in batch.src}) == 2 for batch in batches)
    # Of what is stored, no text has one.
    table = found.shards[0]()
    assert not any("<" in text for column in ("source", "reference") for text in table[column].to_pylist())


def test_apart_batches_are_of_one_pair_and_named_like_it() -> None:
    held = stream("reference", mixed(rows_of(EN_DE, 60), rows_of(DE_EN, 40, 1)))
    (found,) = by_pair([held], TAGGING, apart=True).streams
    batches = list(source_of(found, VOCABULARY).batches(Position(), epochs=1))
    tags = {
        batch.stream: {tuple(VOCABULARY.tokens[each] for each in row[:2]) for row in batch.src} for batch in batches
    }
    assert tags == {"reference/en-de": {("<from:en>", "<2de>")}, "reference/de-en": {("<from:de>", "<2en>")}}


def test_whatever_the_number_of_pairs_an_epoch_reads_each_shard_once() -> None:
    pairs_of_all = [Direction("en", f"x{number}") for number in range(20)]
    tagging = Tagging.of(LanguagesConfig(tags="both"), pairs_of_all)
    reads: Counter[int] = Counter()
    tables = [mixed(*(rows_of(pair, 5, 20 * shard + number) for number, pair in enumerate(pairs_of_all)))
              for shard in range(6)]  # fmt: skip

    def read(shard: int) -> pa.Table:
        reads[shard] += 1
        return tables[shard]

    told = dict.fromkeys(pairs_of_all, 30)
    held = stream("reference", shards=[lambda shard=shard: read(shard) for shard in range(6)], rows=told)
    for apart in (False, True):
        reads.clear()
        (found,) = by_pair([held], tagging, apart=apart).streams
        assert not reads
        vocabulary = Vocabulary.from_tokens([*WORDS, *tagging.tokens()])
        batches = list(source_of(found, vocabulary).batches(Position(), epochs=2))
        assert set(reads.values()) == {2} and sum(len(batch.src) for batch in batches) == 2 * 600


def test_apart_batches_of_many_pairs_are_full_too() -> None:
    pairs_of_all = [Direction("en", f"x{number}") for number in range(50)]
    tagging = Tagging.of(LanguagesConfig(tags="both"), pairs_of_all)
    parts = [rows_of(pair, 60, number) for number, pair in enumerate(pairs_of_all)]
    (found,) = by_pair([stream("reference", mixed(*parts))], tagging, apart=True).streams
    vocabulary = Vocabulary.from_tokens([*WORDS, *tagging.tokens()])
    source = BatchSource(found, Spaces(), vocabulary, vocabulary, 300, 50, 100, 1)
    batches = list(itertools.islice(source.batches(Position()), 400))
    assert batches[-1].following.epoch > 3
    assert sum(batch.fill for batch in batches) / len(batches) > 0.9


def test_of_rows_nobody_told_of_those_with_a_target_are_counted() -> None:
    empty = rows_of(EN_SV, 5, 3).set_column(1, "reference", pa.nulls(5, pa.string()))
    held = stream("reference", rows_of(EN_DE, 7), pa.concat_tables([rows_of(DE_EN, 4, 1), empty]))
    assert by_pair([held], TAGGING).rows == {"reference": {EN_DE: 7, DE_EN: 4}}


def test_a_row_of_a_pair_that_nobody_told_of_is_an_error() -> None:
    (found,) = by_pair([stream("reference", rows_of(EN_SV, 5), rows={EN_DE: 5})], TAGGING).streams
    with pytest.raises(DataError, match="a row of the language pair en-sv; expected one of en-de"):
        next(source_of(found, VOCABULARY).batches(Position()))


class OfGerman:
    """Soft targets of a teacher that was for en-de alone."""

    def read(self, table: pa.Table) -> dict[str, Any]:
        assert set(table["target_language"].to_pylist()) == {"de"}
        lengths = [len(text.split()) + 1 for text in table["reference"].to_pylist()]
        return {"kd_tail": np.concatenate([np.full(length, length) for length in lengths])}

    def is_for(self, schema: pa.Schema, pair: str) -> bool:
        return pair == "en-de"


@pytest.mark.parametrize("apart", [False, True])
def test_a_pair_that_no_teacher_scored_has_no_soft_targets(apart: bool) -> None:
    held = stream("hypothesis", mixed(rows_of(EN_DE, 29), rows_of(EN_SV, 26, 1)), soft_targets=OfGerman())
    others = stream("reference", rows_of(EN_SV, 3))
    found = by_pair([held, others], TAGGING, apart=apart)
    names = ("hypothesis/en-de", "hypothesis/en-sv") if apart else ("hypothesis", "hypothesis/untaught")
    assert found.untaught == [names[1]]
    assert found.streams[1].soft_targets is None
    rows: Counter[str] = Counter()
    for batch in source_of(found.streams[0], VOCABULARY).batches(Position(), epochs=1):
        rows[batch.stream] += len(batch.src)
        assert set(batch.soft) == ({"kd_tail"} if batch.stream == names[0] else set())
        for name in batch.soft:
            np.testing.assert_array_equal(batch.soft[name], np.repeat(batch.tgtlen, batch.tgtlen))
    assert rows == {names[0]: 29, names[1]: 26}


def test_a_stream_of_which_no_pair_was_scored_has_no_soft_targets() -> None:
    held = stream("hypothesis", rows_of(EN_SV, 6, 1), soft_targets=OfGerman())
    found = by_pair([held], TAGGING)
    assert found.streams[0].soft_targets is None and found.untaught == ["hypothesis/untaught"]


def test_without_tags_nothing_stands_before_a_source() -> None:
    tagging = Tagging.of(LanguagesConfig(tags="none"), [EN_DE, DE_EN])
    found = by_pair([stream("reference", rows_of(EN_DE, 3), rows_of(DE_EN, 3))], tagging)
    assert found.streams[0].pairs.prefixes == ((), ()) and tagging.tokens() == ()
    batches = list(source_of(found.streams[0], Vocabulary.from_tokens(WORDS)).batches(Position(), epochs=1))
    assert sum(len(batch.src) for batch in batches) == 6


def test_a_language_without_a_tag_is_an_error() -> None:
    with pytest.raises(ModelError, match="no language fr"):
        by_pair([stream("reference", rows_of(Direction("en", "fr"), 3))], TAGGING)


def test_a_streams_name_tells_its_pair() -> None:
    assert (pair_of("hypothesis/en-de"), pair_of("hypothesis")) == ("en-de", "")
