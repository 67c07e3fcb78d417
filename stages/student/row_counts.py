"""How many rows each stream of a student has in its shards, from what manifests say: nothing is read for it."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from data.artifact import Artifact
from stages.student.further_rows import FurtherDataset

if TYPE_CHECKING:
    from stages.training.batches.batches import Stream
    from stages.training.batches.pairs import PairedStreams


def rows_of(
    streams: "Sequence[Stream]",
    inputs: Mapping[str, Artifact],
    datasets: Sequence[FurtherDataset],
    paired: "PairedStreams | None",
) -> dict[str, int]:
    """By the stream's name; of streams that were taken apart by language pairs, those of the pair."""
    from stages.training.batches.pairs import stream_name

    if paired is not None:
        return {
            stream_name(name, direction): count
            for name, found in paired.rows.items()
            for direction, count in found.items()
        }
    further = {one.name: one.counts()["kept"] for one in datasets}
    return {
        stream.name: further[stream.name] if stream.name in further else _rows(inputs, stream.name)
        for stream in streams
    }


def _rows(inputs: Mapping[str, Artifact], kind: str) -> int:
    artifact, prefix = (inputs["corpus"], "train-") if kind == "reference" else (inputs["dataset"], "")
    return sum(shard.rows for shard in artifact.manifest().shards if shard.name.startswith(prefix))
