"""How many rows each stream of a student has in its shards, from what manifests say: nothing is read for it."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from data.artifact import Artifact
from stages.student.further_rows import FurtherDataset

if TYPE_CHECKING:
    from stages.training.batches.stream import Stream


def rows_of(
    streams: "Sequence[Stream]", inputs: Mapping[str, Artifact], datasets: Sequence[FurtherDataset]
) -> dict[str, int]:
    """By the stream's name: those with a target, as often as an epoch draws them."""
    further = {one.name: one.counts()["kept"] for one in datasets}
    return {stream.name: _rows(stream, inputs, further) for stream in streams}


def _rows(stream: "Stream", inputs: Mapping[str, Artifact], further: Mapping[str, int]) -> int:
    known = stream.weighed if stream.weighed is not None else stream.rows
    if known is not None:
        return round(sum(known.values()))
    if stream.name in further:
        return further[stream.name]
    references = stream.name == "reference"
    manifest = inputs["corpus" if references else "dataset"].manifest()
    sources = manifest.metrics.get("sources", {}) if references else {}
    if sources and all("monolingual" in one for one in sources.values()):
        return sum(one["kept"]["train"] - one["monolingual"]["train"] for one in sources.values())
    prefix = "train-" if references else ""
    return sum(shard.rows for shard in manifest.shards if shard.name.startswith(prefix))
