"""Shards of pairs and of rejects, written as they fill."""

from collections.abc import Sequence

import pyarrow as pa

from data.artifact import Artifact
from data.schema import PAIRS, REJECTS
from stages.corpus.readers.origins import Origin
from stages.corpus.readers.rows import RawRow, Reason, Row, shown
from stages.corpus.splits import SPLITS, Split
from stages.corpus.warnings import Examples
from stages.noise.config import Config as Noise
from stages.noise.corpus import NoiseWriter, Texts


class ShardWriter:
    """Rows of one schema, as shards `<prefix>-00000`, `<prefix>-00001` and so on of equal size."""

    def __init__(self, output: Artifact, prefix: str, schema: pa.Schema, shard_rows: int) -> None:
        self._output = output
        self._prefix = prefix
        self._schema = schema
        self._shard_rows = shard_rows
        self._waiting: list[tuple[str | None, ...]] = []
        self.shards = 0

    def add(self, row: tuple[str | None, ...]) -> None:
        """Adds a row, its values in the order of the schema."""
        self._waiting.append(row)
        if len(self._waiting) == self._shard_rows:
            self.close()

    def close(self) -> None:
        """Writes what waits."""
        if self._waiting:
            columns = zip(*self._waiting, strict=True)
            arrays = [pa.array(column, field.type) for column, field in zip(columns, self._schema, strict=True)]
            table = pa.Table.from_arrays(arrays, schema=self._schema)
            self._output.write_shard(f"{self._prefix}-{self.shards:05d}", table)
            self._waiting = []
            self.shards += 1


class CorpusWriter:
    """The shards of all splits, and of the rejects."""

    def __init__(self, output: Artifact, origins: Sequence[Origin], shard_rows: int, noise: Noise | None) -> None:
        self._origins = origins
        self.noise = NoiseWriter(noise) if noise else None
        self._splits = {split: ShardWriter(output, split, PAIRS, shard_rows) for split in SPLITS}
        self._rejects = ShardWriter(output, "rejects", REJECTS, shard_rows)
        self.examples = Examples()

    def keep(self, row: Row, split: Split) -> None:
        """Adds a row to a split."""
        origin = self._origins[row.origin]
        languages = (origin.source_language, origin.target_language)
        texts = Texts(row.source, row.reference)
        if self.noise and split == "train":
            texts = self.noise.written(row.id, texts, *languages)
        where = origin.name, row.location, split
        self._splits[split].add((row.id, texts.source, texts.reference, *languages, *where, *texts.of_noise()))

    def reject(self, origin: int, raw: RawRow | Row, reason: Reason) -> None:
        """Adds a row to the rejects, its texts cut to what a reader needs to see."""
        name = self._origins[origin].name
        self.examples.add(origin, reason, shown(raw.location), raw.source)
        source, reference = (None if text is None else shown(text) for text in (raw.source, raw.reference))
        self._rejects.add((name, shown(raw.location), source, reference, reason.value))

    def close(self) -> dict[str, int]:
        """Writes what waits; returns the number of shards by prefix."""
        writers: dict[str, ShardWriter] = dict(self._splits.items())
        writers["rejects"] = self._rejects
        for writer in writers.values():
            writer.close()
        return {prefix: writer.shards for prefix, writer in writers.items()}
