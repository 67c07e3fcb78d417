"""How many rows of each source were read, kept and dropped, and why."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from data.errors import DataError
from stages.corpus.readers.origins import Origin
from stages.corpus.readers.rows import Reason
from stages.corpus.splits import SPLITS, Split


class Counts:
    """Counters of every source, by its index."""

    def __init__(self, origins: Sequence[Origin]) -> None:
        self._origins = origins
        self.read = [0] * len(origins)
        self.admitted = 0
        self._without_reference = [0] * len(origins)
        self._kept: list[Counter[str]] = [Counter() for _ in origins]
        self._monolingual: list[Counter[str]] = [Counter() for _ in origins]
        self._dropped: list[Counter[str]] = [Counter() for _ in origins]

    def admit(self, origin: int, monolingual: bool) -> None:
        """Counts a row that is clean, and stays or is dropped when all rows are known."""
        self.admitted += 1
        self._without_reference[origin] += monolingual

    def keep(self, origin: int, split: Split, monolingual: bool) -> None:
        """Counts a row that stays."""
        self._kept[origin][split] += 1
        self._monolingual[origin][split] += monolingual

    def drop(self, origin: int, reason: Reason) -> None:
        """Counts a row that goes."""
        self._dropped[origin][reason.value] += 1

    def check(self) -> None:
        """Raises DataError when nothing is left to train on, or a row was neither kept nor dropped."""
        for origin, read, kept, dropped in zip(self._origins, self.read, self._kept, self._dropped, strict=True):
            if read != kept.total() + dropped.total():
                raise DataError(
                    f"{origin.name}: {read} rows read, {kept.total()} kept and {dropped.total()} dropped; expected "
                    "every row to be one of the two: please report this"
                )
        if not sum(kept["train"] for kept in self._kept):
            found = ", ".join(f"{origin.name}: {self._told(number)}" for number, origin in enumerate(self._origins))
            raise DataError(f"the corpus is empty: no row is left for training ({found}); mend or add sources")

    def metrics(self) -> dict[str, Any]:
        """Counts by source and by split, and what the dataset's card says of each source."""
        return {
            "sources": {origin.name: self._source(number) for number, origin in enumerate(self._origins)},
            "splits": {
                split: {
                    "rows": sum(kept[split] for kept in self._kept),
                    "monolingual": sum(kept[split] for kept in self._monolingual),
                }
                for split in SPLITS
            },
            "read": sum(self.read),
            "dropped": dict(sorted(sum(self._dropped, Counter()).items())),
        }

    def _source(self, number: int) -> dict[str, Any]:
        origin = self._origins[number]
        return {
            "kind": origin.source.kind,
            "role": origin.role,
            "source_language": origin.source_language,
            "target_language": origin.target_language,
            "licence": origin.source.licence,
            "homepage": origin.source.homepage,
            "read": self.read[number],
            "without_reference": self._without_reference[number],
            "kept": {split: self._kept[number][split] for split in SPLITS},
            "monolingual": {split: self._monolingual[number][split] for split in SPLITS},
            "dropped": dict(sorted(self._dropped[number].items())),
        }

    def _told(self, number: int) -> str:
        reasons = ", ".join(f"{count} {reason}" for reason, count in self._dropped[number].most_common(5))
        kept = self._kept[number].total()
        return f"{self.read[number]} rows read, {kept} held out" + (f", dropped {reasons}" if reasons else "")
