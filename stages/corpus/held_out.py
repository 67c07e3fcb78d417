"""What is held out, and which training rows are nearly the same: a test that was trained on says nothing.

The hash of the folded source keeps rows of one source in one split. What it does not see is found here: the same source
quoted or without its full stop, the same reference under another source, and the same pair the other way round.
"""

from array import array
from collections import Counter
from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field

from data.ids import text_digest
from data.language_tags import Direction
from stages.corpus.readers.rows import Reason, Row

Policy = Literal["drop", "count", "keep"]
Keys = npt.NDArray[np.uint64]
Flags = npt.NDArray[np.bool_]


class NearConfig(BaseModel):
    """What becomes of training rows that nearly are held-out ones: dropped, counted and kept, or not looked for.

    Nearly the same are texts that differ in punctuation, quotes, escapes, tokenisation, case and what does not show.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    sources: Policy = Field("drop", description="rows whose source is nearly a held-out row's")
    references: Policy = Field(
        "count", description="rows whose reference is nearly a held-out row's, under another source"
    )


class Near(NamedTuple):
    """Of N rows, [N] each: which have a held-out text, and where."""

    sources: Flags
    references: Flags
    # A text that is held out in another direction than the row's own, on whichever side.
    elsewhere: Flags


class HeldOut:
    """Digests of the texts of held-out pairs: 16 bytes a pair in memory."""

    def __init__(self, config: NearConfig, directions: Sequence[Direction]) -> None:
        """`directions`: of each origin, by its index."""
        self._config, self._directions = config, directions
        self._places = {direction: place for place, direction in enumerate(dict.fromkeys(directions))}
        self._noted = [(array("Q"), array("Q")) for _ in self._places]
        self._sorted: list[tuple[Keys, Keys]] = []
        # Training rows by what was found of them, and the verdict on them.
        self.counts: Counter[str] = Counter()

    def note(self, row: Row) -> None:
        """Keeps the texts of a row that is held out; to be told of all such rows before the first is asked about."""
        if row.reference is not None:
            for noted, digest in zip(self._noted[self._place(row)], self._digests(row), strict=True):
                noted.append(digest)

    def find(self, rows: Sequence[Row]) -> Near:
        """Which of these rows have a text that is nearly a held-out one."""
        if not self._sorted:
            self._sorted = [(np.unique(sources), np.unique(references)) for sources, references in self._noted]
            self._noted = []
        places = np.array([self._place(row) for row in rows])
        sources, references = (np.array(each, dtype=np.uint64) for each in zip(*map(self._digests, rows), strict=True))
        with_reference = np.array([row.reference is not None for row in rows])
        found = Near(*(np.zeros(len(rows), dtype=bool) for _ in Near._fields))
        for place, held_out in enumerate(self._sorted):
            own = places == place
            found.sources[:] |= own & _among(sources, held_out[0])
            found.references[:] |= own & with_reference & _among(references, held_out[1])
            for side in held_out:
                found.elsewhere[:] |= ~own & (_among(sources, side) | (with_reference & _among(references, side)))
        return found

    def verdict(self, found: Near, number: int) -> Reason | None:
        """Why the row of this number is dropped, None where it stays; both are counted."""
        if found.elsewhere[number]:
            return Reason.HELD_OUT_ELSEWHERE
        for name, reason in (("sources", Reason.NEARLY_HELD_OUT), ("references", Reason.HELD_OUT_REFERENCE)):
            policy: Policy = getattr(self._config, name)
            if getattr(found, name)[number] and policy != "keep":
                self.counts[name] += 1
                if policy == "drop":
                    return reason
        return None

    def metrics(self) -> dict[str, dict[str, int | str]]:
        """By kind: what becomes of such rows, and how many there were."""
        policies = self._config.model_dump()
        return {name: {"policy": policy, "rows": self.counts[name]} for name, policy in policies.items()}

    def _place(self, row: Row) -> int:
        return self._places[self._directions[row.origin]]

    def _digests(self, row: Row) -> tuple[int, int]:
        languages = self._directions[row.origin]
        source = text_digest(languages.source, row.source)
        return source, 0 if row.reference is None else text_digest(languages.target, row.reference)


def _among(values: Keys, keys: Keys) -> Flags:
    """Which values are among sorted keys, [N]."""
    if not len(keys):
        return np.zeros(len(values), dtype=bool)
    return np.asarray(keys[np.searchsorted(keys, values) % len(keys)] == values)
