"""How often rows come: against their worth, exactly where it is whole, and as evenly as can be where it is not."""

import numpy as np
import pyarrow as pa
import pytest

from data.errors import DataError
from stages.training.batches import gathering
from stages.training.batches.batches import BatchSource, Position
from stages.training.batches.copies import Worth, copies
from stages.training.batches.gathering import gathered
from stages.training.batches.stream import TURN, Stream
from stages.training.vocabulary import Vocabulary
from tests.stages.training.toy import WORDS, Spaces, pairs

ROWS = 40


def table(number: int = 0, origin: str = "web") -> pa.Table:
    found = pairs(ROWS, number)
    ids = pa.array([f"{number}-{row:032x}" for row in range(ROWS)])
    return found.append_column("id", ids).append_column("origin", pa.array([origin] * ROWS))


def stream(*tables: pa.Table, **weights: float) -> Stream:
    worth = Worth(("origin",), {(name,): weight for name, weight in weights.items()})
    return Stream("reference", [lambda each=each: each for each in tables], "reference", worth=worth)


def drawn(found: Stream, epoch: int, rows: int = 1000) -> pa.Table:
    """All rows of an epoch, with their turns."""
    pools = gathered(found, range(len(found.shards)), Position(epoch), rows, 0, 0)
    return pa.concat_tables([part for pool in pools for part in pool.tables])


def counts(found: pa.Table) -> dict[str, int]:
    groups = found.group_by("id").aggregate([([], "count_all")])
    return dict(zip(groups["id"].to_pylist(), groups["count_all"].to_pylist(), strict=True))


@pytest.mark.parametrize("worth", [0.001, 0.25, 0.5, 0.9, 1.0, 1.25, 2.0, 3.7])
def test_over_the_epochs_a_row_comes_as_often_as_it_is_worth(worth: float) -> None:
    epochs = 200
    found = sum(copies(table(), np.full(ROWS, worth), epoch) for epoch in range(epochs))
    # A sequence of Weyl with a badly approximable step: what is missing grows with the logarithm of the epochs alone.
    assert np.abs(found - epochs * worth).max() < 4
    if worth == int(worth):
        assert set(found.tolist()) == {epochs * worth}


def test_in_every_epoch_a_share_of_many_rows_comes_and_each_time_others() -> None:
    many = pa.table({"id": [f"{row:032x}" for row in range(4000)]})
    first, second = (copies(many, np.full(4000, 0.3), epoch) for epoch in range(2))
    # Four standard deviations.
    assert [found.sum() for found in (first, second)] == pytest.approx([1200, 1200], abs=4 * (4000 * 0.21) ** 0.5)
    assert (first & second).sum() < 100


@pytest.mark.parametrize("shards", [1, 2, 5])
@pytest.mark.parametrize("weight", [0.4, 1.0, 2.0, 2.5, 7.0])
def test_an_epoch_has_the_copies_of_every_row_whatever_shard_it_is_in(weight: float, shards: int) -> None:
    tables = [table(number, "web" if number else "books") for number in range(shards)]
    found = counts(drawn(stream(*tables, web=weight, books=1.0), 3))
    wanted = {}
    for number, each in enumerate(tables):
        rows = copies(each, np.full(ROWS, weight if number else 1.0), 3)
        wanted |= dict(zip(each["id"].to_pylist(), rows.tolist(), strict=True))
    assert found == {row: count for row, count in wanted.items() if count}


def test_no_two_draws_of_a_row_share_a_turn() -> None:
    found = stream(table(), web=2.5)
    turns = [pair for epoch in range(8) for pair in _turns(drawn(found, epoch))]
    assert len(turns) == len(set(turns)) == pytest.approx(8 * 2.5 * ROWS, abs=3 * ROWS)


def test_copies_stand_apart_where_there_are_shards_enough() -> None:
    """A row that comes five times does not come five times at once."""
    found = drawn(stream(*(table(number) for number in range(10)), web=5.0), 0, rows=ROWS)
    ids = found["id"].to_pylist()
    places = [place for place, row in enumerate(ids) if row == ids[0]]
    assert len(places) == 5 and min(np.diff(places)) >= ROWS


def test_of_earlier_shards_no_rows_are_held_but_those_that_come_again(monkeypatch: pytest.MonkeyPatch) -> None:
    held: list[int] = []
    read: list[int] = []
    tables = [pa.concat_tables([table(number), table(100 + number, "books").slice(0, 2)]) for number in range(8)]

    def shard(number: int) -> pa.Table:
        read.append(number)
        return tables[number]

    whole = gathering._Visits.table

    def noted(visits: gathering._Visits, place: int) -> pa.Table:
        found = whole(visits, place)
        held.append(sum(rows.table.num_rows for rows in visits._held.values()))
        return found

    monkeypatch.setattr(gathering._Visits, "table", noted)
    worth = Worth(("origin",), {("books",): 6.0, ("web",): 1.0})
    shards = [lambda number=number: shard(number) for number in range(8)]
    assert drawn(Stream("reference", shards, "reference", worth=worth), 0).num_rows == 8 * (ROWS + 12)
    assert max(held) == 5 * 2
    # The first place needs the copies of those that come before it, which are the last.
    assert len(read) == 8 + 5


def test_rows_of_weighted_sources_come_from_any_position_as_in_one_go() -> None:
    vocabulary = Vocabulary.from_tokens(WORDS)
    held = stream(*(table(number, "web" if number % 2 else "books") for number in range(5)), web=2.5, books=0.5)
    source = BatchSource(held, Spaces(), vocabulary, vocabulary, 60, 50, 30, 1)
    run = list(source.batches(Position(), epochs=2))
    for number, batch in enumerate(run[:-1]):
        again = next(source.batches(batch.following, epochs=2))
        np.testing.assert_array_equal(again.src, run[number + 1].src)


def test_a_row_of_a_source_that_nobody_told_of_is_an_error() -> None:
    with pytest.raises(DataError, match=r"a row of \['web'\]; expected of origin one of \('books',\)"):
        drawn(stream(table(), books=2.0), 0)


def _turns(found: pa.Table) -> list[tuple[str, int]]:
    return list(zip(found["id"].to_pylist(), found[TURN].to_pylist(), strict=True))
