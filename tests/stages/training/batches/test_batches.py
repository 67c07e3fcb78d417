"""Batches against the rows they were made of."""

import itertools
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from stages.training.batches.batches import Batch, BatchSource, Counts, Position
from stages.training.vocabulary import Vocabulary
from tests.stages.training.toy import WORDS, Spaces, pairs, stream

VOCABULARY = Vocabulary.from_tokens(WORDS)
TABLES = (pairs(70, 1), pairs(40, 2), pairs(25, 3))
SOURCE = BatchSource(
    stream=stream("reference", *TABLES),
    encoder=Spaces(),
    source_vocabulary=VOCABULARY,
    target_vocabulary=VOCABULARY,
    batch_tokens=60,
    max_tokens=50,
    shuffle_rows=50,
    seed=5,
)


def source(**changes: object) -> BatchSource:
    return replace(SOURCE, **{"counts": {}, **changes})


def epoch(batches: BatchSource, number: int = 0) -> list[Batch]:
    return list(batches.batches(Position(number), epochs=number + 1))


def sentences(rows: np.ndarray, drop: Sequence[str] = ("<blank>", "<s>", "</s>")) -> list[str]:
    words = [[VOCABULARY.tokens[number] for number in row] for row in rows]
    return [" ".join(word for word in row if word not in drop) for row in words]


def content(batches: Sequence[Batch]) -> list[tuple[str, str]]:
    return [pair for batch in batches for pair in zip(sentences(batch.src), sentences(batch.tgt), strict=True)]


def test_an_epoch_holds_every_row_once() -> None:
    expected = [tuple(row.values()) for table in TABLES for row in table.to_pylist()]
    assert sorted(content(epoch(source()))) == sorted(expected)


def test_epochs_differ_in_order_and_seeds_too() -> None:
    first, second, other = epoch(source()), epoch(source(), 1), epoch(source(seed=6))
    assert content(first) != content(second) != content(other) != content(first)


def test_epochs_of_one_shard_differ_too() -> None:
    batches = source(stream=stream("reference", TABLES[0]), shuffle_rows=1000)
    assert sorted(content(epoch(batches))) == sorted(content(epoch(batches, 1)))
    assert content(epoch(batches)) != content(epoch(batches, 1))


def test_batches_of_an_epoch_do_not_come_by_length() -> None:
    widths = [batch.tgt.shape[1] for batch in epoch(source(shuffle_rows=1000))]
    assert widths != sorted(widths)


def test_rows_are_padded_at_the_end_and_counted() -> None:
    for batch in epoch(source()):
        assert batch.tgt[:, 0].tolist() == [2] * len(batch.tgt)
        lengths = (batch.tgt[:, 1:] != 1).sum(1)
        assert batch.target_tokens == lengths.sum()
        assert [row[1 + length - 1] for row, length in zip(batch.tgt, lengths, strict=True)] == [3] * len(lengths)
        assert ((batch.src != 1).sum(1) == batch.srclen).all()
        assert all((row[:length] != 1).all() for row, length in zip(batch.src, batch.srclen, strict=True))


def test_batches_stay_within_their_tokens_and_are_well_filled() -> None:
    # Sources and references of lengths that have nothing to do with each other.
    table = pa.table({"source": pairs(300, 4, 12)["source"], "reference": pairs(300, 5, 12)["reference"]})
    batches = epoch(source(stream=stream("reference", table)))
    sizes = [len(batch.src) * max(batch.src.shape[1], batch.tgt.shape[1] - 1) for batch in batches]
    assert max(sizes) <= 60
    assert sum(sizes) / len(sizes) > 30


def test_batches_are_full_however_small_a_pool_is_and_lose_no_row() -> None:
    batches = source(shuffle_rows=5, batch_tokens=100)
    epochs = list(batches.batches(Position(), epochs=4))
    expected = [tuple(row.values()) for table in TABLES for row in table.to_pylist()] * 4
    assert sorted(content(epochs)) == sorted(expected)
    # Rows have at most 8 tokens: of a full batch no more is missing. The last one ends the data.
    assert min(batch.fill for batch in epochs[:-1]) > 1 - 8 * 8 / 100
    assert sum(batch.fill for batch in epochs) / len(epochs) > 0.9


def test_a_pool_has_rows_for_some_batches_where_it_may() -> None:
    small, larger = source(shuffle_rows=10), source(shuffle_rows=10, most_rows=100)
    shapes = [sorted({batch.following.row for batch in epoch(each)}) for each in (small, larger)]
    assert len(shapes[0]) > 2 * len(shapes[1])


def test_a_stream_smaller_than_a_batch_is_one_an_epoch() -> None:
    batches = list(itertools.islice(source(stream=stream("reference", pairs(5))).batches(Position()), 3))
    assert [len(batch.src) for batch in batches] == [5, 5, 5]


def test_what_waits_is_in_the_state_and_comes_back() -> None:
    batches = source(shuffle_rows=20, batch_tokens=200)
    run = list(itertools.islice(batches.batches(Position()), 12))
    waiting = [batch.following.waiting for batch in run]
    assert any(table is not None for table in waiting)
    for number, batch in enumerate(run[:-1]):
        again = next(source(shuffle_rows=20, batch_tokens=200).batches(Position.of_state(batch.following.state())))
        np.testing.assert_array_equal(again.src, run[number + 1].src)
        assert again.following == run[number + 1].following
        assert again.following.fullest() == run[number + 1].following.fullest()


def test_counts_of_an_epoch_are_the_same_from_wherever_it_was_read() -> None:
    run = list(itertools.islice(source().batches(Position()), 90))
    assert {batch.following.fullest() for batch in run if batch.following.epoch > 0} == {Counts(135, 0)}
    held = [batch.following for batch in run]
    for number, position in enumerate(held[:-1]):
        assert next(source().batches(position)).following.fullest() == held[number + 1].fullest()


def test_a_row_larger_than_a_batch_is_a_batch() -> None:
    batches = epoch(
        source(batch_tokens=16, stream=stream("reference", pa.table({"source": ["a0 " * 40], "reference": ["a1"]})))
    )
    assert [batch.src.shape for batch in batches] == [(1, 40)]


@pytest.mark.parametrize("shuffle_rows", [7, 50, 1000])
def test_from_any_position_the_rest_is_the_same(shuffle_rows: int) -> None:
    batches = source(shuffle_rows=shuffle_rows)
    run = list(itertools.islice(batches.batches(Position()), 60))
    assert run[-1].following.epoch >= 1
    for number, batch in enumerate(run[:-1]):
        again = next(source(shuffle_rows=shuffle_rows).batches(batch.following))
        np.testing.assert_array_equal(again.src, run[number + 1].src)
        np.testing.assert_array_equal(again.tgt, run[number + 1].tgt)


def test_shards_are_read_one_after_another_and_none_before_the_position() -> None:
    reads, encoded = [], []

    class Counting(Spaces):
        def encode_source(self, texts: Sequence[str]) -> list[list[str]]:
            encoded.append(len(texts))
            return super().encode_source(texts)

    def shard(number: int) -> pa.Table:
        reads.append(number)
        return TABLES[number]

    read = [lambda number=number: shard(number) for number in range(3)]
    batches = source(stream=stream(shards=read), encoder=Counting(), shuffle_rows=25)
    # Bounded by an epoch, nothing is read ahead of what is asked for.
    run = batches.batches(Position(), epochs=1)
    first = next(run)
    assert (len(reads), encoded) == (1, [25])
    last = [first, *run][-1]
    # An epoch reads each shard once, and each row is encoded once, or again where it waited.
    assert sorted(reads) == [0, 1, 2] and sum(encoded) < 135 + 6 * 10
    order = list(reads)
    reads.clear()
    found = next(source(stream=stream(shards=read)).batches(last.following, epochs=2))
    assert reads[0] != order[0] or len(reads) == 1
    assert found.following.epoch == 1


@pytest.mark.parametrize("epochs", [1, None])
def test_a_position_in_the_middle_reads_the_shards_of_its_pool_and_of_what_follows_alone(epochs: int | None) -> None:
    reads: list[int] = []

    def shard(number: int) -> pa.Table:
        reads.append(number)
        return pairs(40, number)

    read = [lambda number=number: shard(number) for number in range(12)]
    batches = source(stream=stream(shards=read), shuffle_rows=40)
    run = list(batches.batches(Position(), epochs=1))
    order = list(reads)
    for number, batch in enumerate(run[:-2]):
        reads.clear()
        again = next(batches.batches(batch.following, epochs))
        np.testing.assert_array_equal(again.src, run[number + 1].src)
        # The pool's own shard first, and no other than what is read ahead; a pool may lie in two.
        assert reads[0] == order[batch.following.shard]
        assert len(reads) <= (1 if epochs else 3)


def test_rows_too_long_or_empty_are_counted_and_rows_without_target_passed_over() -> None:
    table = pa.table(
        {
            "source": ["a1", "a2 a3 a4 a5", "a3", "a4", "", "a6"],
            "reference": ["a1", "a2", None, "a4 a4 a4 a4", "a5", ""],
        }
    )
    batches = source(stream=stream("reference", table), max_tokens=4)
    assert content(epoch(batches)) == [("a1", "a1")]
    assert batches.counts[0] == Counts(1, 4)


def test_without_usable_rows_it_ends() -> None:
    empty = pa.table({"source": ["a1"], "reference": pa.array([None], pa.string())})
    assert list(source(stream=stream("reference", empty)).batches(Position())) == []
    assert list(source(stream=stream(shards=[])).batches(Position())) == []


def test_tokens_are_taken_as_they_are() -> None:
    table = pa.table({"source": ["a1 a2"], "target_tokens": [["a3", "unknown word", "a4"]]})
    (batch,) = epoch(source(stream=stream("hypothesis", table, target_column="target_tokens")))
    assert sentences(batch.tgt, drop=()) == ["<s> a3 <unk> a4 </s>"]


def test_soft_targets_follow_their_positions() -> None:
    class Marked:
        """Every position carries the number of its row and of its place."""

        def read(self, table: pa.Table) -> dict[str, np.ndarray]:
            lengths = [len(text.split()) + 1 for text in table["reference"].to_pylist()]
            rows = [VOCABULARY.tokens.index(text.split()[0]) for text in table["reference"].to_pylist()]
            places = np.concatenate([np.arange(length) for length in lengths])
            return {"marks": np.stack([np.repeat(rows, lengths), places], 1)}

    for batch in epoch(source(stream=stream("reference", *TABLES, soft_targets=Marked()))):
        target = batch.tgt[:, 1:]
        inside = target != 1
        expected = np.stack([np.broadcast_to(target[:, :1], target.shape)[inside], np.nonzero(inside)[1]], 1)
        np.testing.assert_array_equal(batch.soft["marks"], expected)


def test_a_text_that_spells_specials_is_learned_like_any_other() -> None:
    texts = {"source": ["<s> a1 <blank>", "a2"], "reference": ["<blank> a3 </s> <blank>", "a4"]}

    class Numbered:
        def read(self, table: pa.Table) -> dict[str, np.ndarray]:
            return {"kd_tail": np.arange(7)}

    prefixed = stream("reference", pa.table(texts), source_prefix=("<s>",), soft_targets=Numbered())
    (batch,) = epoch(source(stream=prefixed, shuffled=False))
    assert sentences(batch.src, drop=()) == ["<s> a2 <blank> <blank>", "<s> <unk> a1 <unk>"]
    assert sentences(batch.tgt, drop=()) == ["<s> a4 </s> <blank> <blank> <blank>", "<s> <unk> a3 <unk> <unk> </s>"]
    assert (batch.tgtlen.tolist(), batch.target_tokens) == ([2, 5], 7)
    assert batch.soft["kd_tail"].tolist() == [5, 6, 0, 1, 2, 3, 4]


def test_unshuffled_batches_hold_rows_by_length_and_in_order() -> None:
    rows = content(epoch(source(shuffled=False, shuffle_rows=1000)))
    lengths = [len(target.split()) for _, target in rows]
    assert lengths == sorted(lengths)


def test_a_prefix_stands_before_every_source_and_counts_for_its_length() -> None:
    table = pa.table({"source": ["a1 a2", "", "a3 a4 a5"], "reference": ["a1", "a2", "a3"]})
    batches = source(stream=stream("tagged", table, source_prefix=("a9",)), max_tokens=4)
    (batch,) = epoch(batches)
    assert sentences(batch.src) == ["a9 a1 a2"]
    assert (batch.stream, batches.fullest_epoch().skipped) == ("tagged", 2)


def test_an_epoch_may_have_targets_of_its_own() -> None:
    table = pa.table({"source": ["a1", "a2"], "reference": ["a3", "a4"]})

    def draw(shard: pa.Table, turns: np.ndarray) -> pa.Table:
        return shard.set_column(1, "reference", pa.array([f"a{5 + turn}" for turn in turns]))

    batches = source(stream=stream("drawn", table, draw=draw))
    found = [(batch.following.epoch, *sentences(batch.tgt)) for batch in batches.batches(Position(), 3)]
    assert found == [(1, "a5", "a5"), (2, "a6", "a6"), (3, "a7", "a7")]
    resumed = [sentences(batch.tgt) for batch in batches.batches(Position(2), 3)]
    assert resumed == [["a7", "a7"]]
