"""No more training rows of a source than its limit: those whose hash is smallest, so that the choice is a sample."""

from collections.abc import Sequence

from stages.corpus.readers.origins import Origin
from stages.corpus.readers.rows import Reason, Row
from stages.corpus.splits import Split


class Limits:
    """Counts down what may still be taken of each source; to be asked about all rows in the order of their hash.

    That order hangs on the texts alone, so of a corpus that grows a row may lose its place to a new one, and no other
    takes it. What is held out has no part in it.
    """

    def __init__(self, origins: Sequence[Origin]) -> None:
        self._left = [origin.source.limit for origin in origins]

    def verdict(self, row: Row, verdict: Split | Reason) -> Split | Reason:
        """The same, or why there is no room for the row any more."""
        left = self._left[row.origin]
        if verdict != "train" or left is None:
            return verdict
        if left == 0:
            return Reason.OVER_LIMIT
        self._left[row.origin] = left - 1
        return verdict
