"""Which split a row belongs to, or why it belongs to none."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Literal, NamedTuple

from data.ids import fold, text_digest
from data.language_tags import Direction
from stages.corpus.readers.rows import Reason, Row

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


class HeldOut:
    """The texts of held-out pairs, by which a row of another language pair gives their translations away.

    Several pairs of languages may share texts: the same pair the other way round, or a document in many languages. The
    hash of the source keeps only rows with that source together. Kept in memory, about 200 bytes a held-out text.
    """

    def __init__(self, fractions: Fractions, directions: Sequence[Direction]) -> None:
        """`directions`: of each origin, by its index. With one direction alone nothing is kept."""
        self._fractions, self._directions = fractions, directions
        self._needed = len(set(directions)) > 1
        # Digest of language and folded text -> the directions in which it is held out, as bits.
        self._known: dict[int, int] = {}

    def note(self, row: Row) -> None:
        """Keeps the row's texts if it is held out; to be told of all rows before the first is asked about."""
        if self._needed and not row.monolingual and self._fractions.split(row) != "train":
            for digest in self._digests(row):
                self._known[digest] = self._known.get(digest, 0) | self._bit(row)

    def gives_away(self, row: Row) -> bool:
        """Whether a text of this row is held out in another direction than its own."""
        if not self._known:
            return False
        return any(self._known.get(digest, 0) & ~self._bit(row) for digest in self._digests(row))

    def _digests(self, row: Row) -> list[int]:
        texts = zip(self._directions[row.origin], (row.source, row.reference), strict=True)
        return [text_digest(language, text) for language, text in texts if text is not None]

    def _bit(self, row: Row) -> int:
        return 1 << self._directions.index(self._directions[row.origin])


def judge(rows: Iterable[Row], fractions: Fractions, held_out: HeldOut) -> Iterator[tuple[Row, Split | Reason]]:
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
            if split == "train" and held_out.gives_away(row):
                yield row, Reason.HELD_OUT_ELSEWHERE
                continue
            yield row, Reason.HELD_OUT_MONOLINGUAL if row.monolingual and split != "train" else split
