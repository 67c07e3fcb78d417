"""Streams of rows whose noise is for the student alone."""

from dataclasses import dataclass, replace
from functools import cached_property, partial

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from data.artifact import Artifact
from data.soft_targets import SoftTargetFormat
from stages.noise.reading import REWRITTEN, as_student_reads, is_for_student, with_noise_columns
from stages.text.tokenizer import Tokenizer
from stages.training.batches.ragged import Ragged
from stages.training.batches.stream import Soft, SoftTargetReader, Stream
from stages.training.vocabulary import END_ID, Vocabulary


def as_learned(stream: Stream, artifact: Artifact, noise: "NoisyReading | None") -> Stream:
    """A stream of an artefact's rows as they are learned; its shards have `with_noise_columns`.

    Raises ValueError where they have noise, and nothing says how it is read.
    """
    if not is_for_student(artifact):
        return stream
    if noise is None:
        raise ValueError(f"{artifact.url} has noise for the student; say with which subwords it is read")
    return noise.of(stream)


@dataclass(frozen=True)
class NoisyReading:
    """How a student with this tokenizer and target vocabulary reads noise."""

    tokenizer: Tokenizer
    vocabulary: Vocabulary

    def of(self, stream: Stream) -> Stream:
        """The stream as it is learned."""
        soft = stream.soft_targets
        return replace(
            stream,
            draw=partial(self._drawn, stream=stream),
            soft_targets=HardWhereRewritten(soft, self.vocabulary) if soft else None,
        )

    def _drawn(self, table: pa.Table, turns: npt.NDArray[np.int64], stream: Stream) -> pa.Table:
        drawn = stream.draw(table, turns) if stream.draw else table
        return as_student_reads(drawn, stream.target_column, self.tokenizer, self._known)

    @cached_property
    def _known(self) -> frozenset[str]:
        return frozenset(self.vocabulary.tokens)

    def counts(self, artifact: Artifact, target: str) -> dict[str, int] | None:
        """Of an artefact's rows those that are read with noise, those with another target for it, and those that stay
        clean as the vocabulary lacks what such a target is made of; None where nothing is noise for it alone."""
        if not is_for_student(artifact):
            return None
        counts = {"rows": 0, "rewritten_targets": 0, "left_clean": 0}
        for table in artifact.tables("train-", with_noise_columns(("source", target), artifact)):
            table = table.filter(pc.is_valid(table["student_source"]))
            read = as_student_reads(table, target, self.tokenizer, self._known)
            noisy = int(pc.sum(pc.equal(read["source"], table["student_source"])).as_py() or 0)
            counts["rows"] += noisy
            counts["rewritten_targets"] += int(pc.sum(read[REWRITTEN]).as_py() or 0)
            counts["left_clean"] += table.num_rows - noisy
        return counts


@dataclass(frozen=True)
class HardWhereRewritten:
    """Soft targets; of a row whose target was written anew, that it is certain: KL to it is its cross-entropy.

    The teacher said nothing of such a target, and what it said of another one is no distribution over its positions.
    """

    soft: SoftTargetReader
    vocabulary: Vocabulary

    def is_for(self, schema: pa.Schema, pair: str) -> bool:
        """As the reader itself."""
        return self.soft.is_for(schema, pair)

    def read(self, table: pa.Table) -> dict[str, Soft]:
        """As the reader itself, for the rows' own tokens."""
        rewritten = np.asarray(table[REWRITTEN].to_numpy(), dtype=bool)
        if not rewritten.any():
            return self.soft.read(table)
        known = self.soft.read(table.filter(pa.array(~rewritten)))
        lengths = np.asarray(pc.list_value_length(table["target_tokens"]).to_numpy(), dtype=np.int64) + 1
        own = np.repeat(rewritten, lengths)
        targets = self._targets(table.filter(pa.array(rewritten)))
        draws = SoftTargetFormat.of(table.schema).draws
        return {name: _filled(name, values, own, targets, draws) for name, values in known.items()}

    def _targets(self, table: pa.Table) -> npt.NDArray[np.int32]:
        """Ids of all positions, ends included."""
        return Ragged.of(table["target_tokens"], self.vocabulary).within(after=[END_ID]).flat


def _filled(name: str, known: Soft, own: npt.NDArray[np.bool_], targets: npt.NDArray[np.int32], draws: int) -> Soft:
    """Values of N positions: what is known, and at `own` ones the certainty of `targets`."""
    if isinstance(known, Ragged):
        lengths = np.ones(len(own), dtype=known.lengths.dtype)
        lengths[~own] = known.lengths
        ends = np.cumsum(lengths)
        flat = np.empty(int(ends[-1]), dtype=known.flat.dtype)
        at = np.repeat(own, lengths)
        flat[at] = targets if name == "kd_ids" else draws
        flat[~at] = known.flat
        return Ragged(flat, ends - lengths, lengths)
    values = np.zeros((len(own), *known.shape[1:]), dtype=known.dtype)
    values[~own] = known
    if name == "kd_ids":
        others = np.arange(known.shape[1] - 1)
        values[own] = np.concatenate([targets[:, None], others + (others >= targets[:, None])], axis=1)
    elif name == "kd_log_probs":
        values[own, 1:] = -np.inf
    elif name.startswith("kd_tail"):
        values[own] = -np.inf
    return values
