"""Validation on what the teacher makes of the valid split's sources, where there are no references or they differ."""

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from data.artifact import Artifact
from data.language_tags import Direction
from data.local import atomic
from data.model_folder import load_teacher_info
from data.runtime import Runtime
from data.teachers import teacher_nodes
from stages.languages.directions import COLUMNS as LANGUAGES
from stages.languages.directions import directions_of, grouped
from stages.loaded_model.translate import load_translator
from stages.text.tokenizer import Tokenizer
from stages.training.batches.batches import Stream

_COLUMNS = ("source", *LANGUAGES)
# Scratch: a training that goes on translates nothing again.
_FILE = ".valid-targets.parquet"


def valid_on_teacher(
    inputs: Mapping[str, Artifact], tokenizer: Tokenizer, rows: int, folder: Path, runtime: Runtime
) -> list[Stream]:
    """A stream of at most `rows` sources of the valid split with a teacher's greedy translations as `reference`.

    Rows of a language pair that no teacher is for are left out. Raises ModelError when a teacher cannot be loaded.
    """
    path = folder / _FILE
    if not path.exists():
        table = _translated(inputs, tokenizer, _sources(inputs["corpus"], rows), runtime)
        folder.mkdir(parents=True, exist_ok=True)
        with atomic(path) as temporary:
            pq.write_table(table, temporary)
    table = pq.read_table(path)
    there = Counter(directions_of(table.filter(table["reference"].is_valid())))
    return [Stream("valid", [partial(pq.read_table, path)], "reference", rows=dict(sorted(there.items())))]


def _sources(corpus: Artifact, rows: int) -> pa.Table:
    """Those of the smallest hash, of each pair as many."""
    from stages.training.valid_rows import sampled

    names = corpus.shard_names("valid-")
    pairs = sorted({pair for table in corpus.tables("valid-", LANGUAGES) for pair in set(directions_of(table))})
    streams = [Stream(str(pair), [partial(_of_pair, corpus, name, pair) for name in names], "source") for pair in pairs]
    tables = [table for _, table in sampled(streams, rows).tables()]
    return pa.concat_tables(tables) if tables else pa.table({name: pa.array([], pa.string()) for name in _COLUMNS})


def _of_pair(corpus: Artifact, shard: str, pair: Direction) -> pa.Table:
    table = corpus.read_shard(shard, _COLUMNS)
    return table.filter(pa.array([found == pair for found in directions_of(table)], pa.bool_()))


def _translated(inputs: Mapping[str, Artifact], tokenizer: Tokenizer, table: pa.Table, runtime: Runtime) -> pa.Table:
    sources, directions = table["source"].to_pylist(), directions_of(table)
    found: list[str | None] = [None] * len(sources)
    folders = [inputs[node].path() for node in teacher_nodes(inputs).values()]
    for pair, places in grouped(directions):
        folder = next((each for each in folders if load_teacher_info(each).translates(str(pair))), None)
        if folder is not None:
            _fill(found, places, folder, tokenizer, [sources[place] for place in places], pair, runtime)
    return table.append_column("reference", pa.array(found, pa.string()))


def _fill(
    found: list[str | None],
    places: Sequence[int],
    folder: Path,
    tokenizer: Tokenizer,
    sources: Sequence[str],
    pair: Direction,
    runtime: Runtime,
) -> None:
    translator = load_translator(folder, tokenizer=tokenizer, threads=runtime.threads, device=runtime.device)
    translations = translator.translate(sources, beam_size=1, directions=[pair] * len(sources))
    for place, translation in zip(places, translations, strict=True):
        # What was cut off is no target.
        found[place] = None if translation.cut or not translation.text else translation.text
