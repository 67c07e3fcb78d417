"""corpus: sources of text -> sentence pairs in three splits, and everything that was not taken, with the reason.

Rows are sorted by the hash of their folded source. So rows that differ only in case or whitespace stand side
by side and are judged together, a shard is a random sample of its split, and the order of rows depends neither
on the order of reading nor on how much fits into memory.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, model_validator

from data.artifact import Artifact
from data.language_tags import Direction
from data.local import write_atomically
from data.runtime import Runtime
from stages.corpus.admission import LONGEST_GIVEN, Given, admit
from stages.corpus.counts import Counts
from stages.corpus.held_out import HeldOut, NearConfig
from stages.corpus.limits import Limits
from stages.corpus.readers.origins import Origin, Role, local_paths, missing_paths, remote_identities
from stages.corpus.readers.rows import Reason, Row
from stages.corpus.readers.sources import Language, Source
from stages.corpus.sorting import sort_rows
from stages.corpus.splits import Fractions, Split, judge
from stages.corpus.warnings import warnings
from stages.corpus.writing import CorpusWriter
from stages.noise.config import Config as Noise

VERSION = "5"
INPUTS: tuple[str, ...] = ()
LIBRARIES = ("babel",)
PROGRESS_ROWS = 10_000
NOISE_FILE = "noise.json"

T = TypeVar("T")


class Config(BaseModel):
    """Options of the corpus."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    source_language: Language = Field(description="BCP-47 tag of what is translated; a source may name its own")
    target_language: Language = Field(description="BCP-47 tag of what it is translated into; likewise")
    sources: list[Source] = Field(description="where the text comes from, the most trusted first", min_length=1)
    test_sets: list[Source] = Field(
        default_factory=list,
        description="sources that are the test set, whole and in their order; other rows that share a folded source "
        "are dropped, and each set has scores of its own",
    )
    valid_sets: list[Source] = Field(default_factory=list, description="likewise, sources that are the validation set")
    test_fraction: float = Field(
        0.02, description="share of folded sources held out for test, by hash; unused with test_sets", ge=0, le=0.5
    )
    valid_fraction: float = Field(
        0.01, description="share held out to watch training, by hash; unused with valid_sets", ge=0, le=0.5
    )
    near_held_out: NearConfig = Field(
        default_factory=NearConfig, description="training rows that are nearly held-out ones"
    )
    noise: Noise | None = Field(None, description="training sources written anew, as people write them")
    min_characters: int = Field(1, description="shorter sources and references are rejected", ge=1)
    max_characters: int = Field(2000, description="longer sources and references are rejected", ge=1, le=100_000)
    shard_rows: int = Field(
        10_000, description="rows a shard; a shard is what a worker takes at a time", ge=1, le=1_000_000
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        names = [source.name for source in (*self.sources, *self.test_sets, *self.valid_sets)]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"two sources are named {', '.join(twice)}; give each a name of its own")
        if limited := [source.name for source in (*self.test_sets, *self.valid_sets) if source.limit is not None]:
            raise ValueError(f"limit: {', '.join(limited)} is held out, and stays whole; it is for sources alone")
        if weighed := [source.name for source in (*self.test_sets, *self.valid_sets) if source.weight != 1]:
            raise ValueError(f"weight: {', '.join(weighed)} is held out, and not trained on; it is for sources alone")
        if self.min_characters > self.max_characters:
            raise ValueError(f"min_characters {self.min_characters} is above max_characters {self.max_characters}")
        return self


def run(inputs: Mapping[str, Artifact], config: Config, output: Artifact, runtime: Runtime) -> dict[str, Any]:
    """Writes shards `train-`, `valid-` and `test-00000` (PAIRS) and `rejects-00000` (REJECTS), and, where there
    is noise, its options, `noise.json`; returns counts.

    Raises DataError when a source cannot be read, two files are not parallel, or no row is left for training.
    """
    origins = _origins(config)
    counts = Counts(origins)
    output.discard_shards()  # of a run that was killed, which may have read other content
    writer = CorpusWriter(output, origins, config.shard_rows, config.noise)
    given: dict[int, Split] = {number: one.role for number, one in enumerate(origins) if one.role != "source"}
    fractions = Fractions(config.test_fraction, config.valid_fraction, given)
    directions = [Direction(origin.source_language, origin.target_language) for origin in origins]
    held_out = HeldOut(config.near_held_out, directions)
    admitted = _told(_noted(_admitted(config, origins, writer, counts), fractions, held_out), runtime, lambda: None)
    rows = sort_rows(admitted, output.work_path() / ".sorting")
    limits = Limits(origins)
    for row, found in judge(_told(rows, runtime, lambda: counts.admitted), fractions, held_out):
        verdict = limits.verdict(row, found)
        if isinstance(verdict, Reason):
            counts.drop(row.origin, verdict)
            writer.reject(row.origin, row, verdict)
        else:
            counts.keep(row.origin, verdict, row.monolingual)
            writer.keep(row, verdict)
    counts.check()
    shards = writer.close()
    metrics = counts.metrics()
    if config.noise:
        # Who evaluates with it is to do so anew where another kind changed no row.
        write_atomically(output.work_path() / NOISE_FILE, config.noise.model_dump_json(indent=1).encode())
    noise = {"noise": writer.noise.metrics()} if writer.noise else {}
    told = warnings(metrics["sources"], writer.examples)
    return {**metrics, **noise, "near_held_out": held_out.metrics(), "shards": shards, "warnings": told}


def external_files(config: Config) -> list[Path]:
    """Local files and folders whose content belongs to the fingerprint."""
    return [path for origin in _origins(config) for path in local_paths(origin)]


def external_identities(config: Config) -> dict[str, str]:
    """Of URLs what tells a change, without reading them; raises DataError when one cannot be asked for."""
    return {url: found for origin in _origins(config) for url, found in remote_identities(origin).items()}


def faults(config: Config) -> list[str]:
    """A line for each file of the recipe that is not there."""
    return [line for origin in _origins(config) for line in missing_paths(origin)]


def _origins(config: Config) -> list[Origin]:
    """Test and valid sets first, so that what they hold is known; then the sources, in the order of trust."""
    places: list[tuple[str, Role, list[Source]]] = [
        ("test_sets", "test", config.test_sets),
        ("valid_sets", "valid", config.valid_sets),
        ("sources", "source", config.sources),
    ]
    return [
        Origin(
            key=f"corpus.{key}[{number}]",
            source=source,
            source_language=source.source_language or config.source_language,
            target_language=source.target_language or config.target_language,
            role=role,
        )
        for key, role, sources in places
        for number, source in enumerate(sources)
    ]


def _admitted(config: Config, origins: list[Origin], writer: CorpusWriter, counts: Counts) -> Iterator[Row]:
    """Rows that are still to be judged. Those of given sets are written here, in their order, and only held against."""
    sequence, given = 0, Given()
    for index, origin in enumerate(origins):
        for raw in origin.rows(config.max_characters if origin.role == "source" else LONGEST_GIVEN):
            sequence += 1
            counts.read[index] += 1
            if origin.role != "source" and raw.reason is not Reason.SKIPPED_FILE:
                scored, row = given.admit(raw, origin, index, sequence)
                _keep_given(scored, origin.role, writer, counts)
                yield row
                continue
            admitted = admit(raw, origin, index, sequence, config.min_characters, config.max_characters)
            if isinstance(admitted, Reason):
                counts.drop(index, admitted)
                writer.reject(index, raw, admitted)
            else:
                counts.admit(index, admitted.monolingual)
                yield admitted


def _keep_given(row: Row, split: Split, writer: CorpusWriter, counts: Counts) -> None:
    counts.admit(row.origin, row.monolingual)
    if row.monolingual:
        counts.drop(row.origin, Reason.HELD_OUT_MONOLINGUAL)
        writer.reject(row.origin, row, Reason.HELD_OUT_MONOLINGUAL)
    else:
        counts.keep(row.origin, split, row.monolingual)
        writer.keep(row, split)


def _noted(rows: Iterable[Row], fractions: Fractions, held_out: HeldOut) -> Iterator[Row]:
    for row in rows:
        if fractions.split(row) != "train":
            held_out.note(row)
        yield row


def _told(rows: Iterable[T], runtime: Runtime, total: Callable[[], int | None]) -> Iterator[T]:
    for number, row in enumerate(rows, 1):
        if number % PROGRESS_ROWS == 0:
            runtime.progress(number, total(), {})
        yield row
