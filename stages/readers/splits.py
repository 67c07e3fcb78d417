"""Which split a row belongs to, or why it belongs to none."""

from collections.abc import Iterable, Iterator
from typing import Literal, NamedTuple

from data.ids import fold
from stages.readers.rows import Reason, Row

Split = Literal["train", "valid", "test"]
SPLITS: tuple[Split, ...] = ("train", "valid", "test")


class Fractions(NamedTuple):
    """Shares of the folded sources; `test_sets` says that the test split is given and none is held out for it."""

    test: float
    valid: float
    test_sets: bool

    def split(self, row: Row) -> Split:
        """The split of a row, by where it comes from and the hash of its folded source."""
        if row.group == 0:
            return "test"
        if row.point < self.test:
            return "train" if self.test_sets else "test"
        return "valid" if row.point < self.test + self.valid else "train"


def judge(rows: Iterable[Row], fractions: Fractions) -> Iterator[tuple[Row, Split | Reason]]:
    """Every row with its split, or the reason why it is dropped; `rows` must be sorted.

    Of rows with one id the first is kept: sorted so, one with a reference, and then the one read first. All rows
    of one folded source have one point, hence one split, and follow each other, those of test sets in front.
    """
    point, held = -1.0, set[str]()
    last: tuple[int, str] | None = None
    for row in rows:
        if row.point != point:
            point, held = row.point, set()
        if row.group == 0:
            held.add(fold(row.source))
        split = fractions.split(row)
        if held and row.group and fold(row.source) in held:
            yield row, Reason.IN_TEST_SET
        elif (row.group, row.id) == last:
            yield row, Reason.DUPLICATE
        else:
            last = (row.group, row.id)
            yield row, Reason.HELD_OUT_MONOLINGUAL if row.monolingual and split != "train" else split
