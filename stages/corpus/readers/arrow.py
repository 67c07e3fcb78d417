"""Columns of Arrow files: streams, as the datasets of Hugging Face keep them, and files, which are also Feather's."""

import json
from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from data.errors import DataError
from stages.corpus.readers.columns import check_columns, check_offsets, rows_of
from stages.corpus.readers.files.formats import HEAD_BYTES, recognise
from stages.corpus.readers.files.found import Found, find_files, fixed_part
from stages.corpus.readers.files.sized import Sized
from stages.corpus.readers.paths import published_path, shown_error, shown_path
from stages.corpus.readers.rows import RawRow, Reason
from stages.corpus.readers.sources import ArrowSource

_STATE, _SPLITS = "state.json", "dataset_dict.json"
_FILE_MARK = b"ARROW1"
# What a stream ends with: a message of no length.
_END = b"\xff\xff\xff\xff\0\0\0\0"


def read_arrow(source: ArrowSource) -> Iterator[RawRow]:
    """Rows of all files, in the order that a dataset gives them; raises DataError for a missing column or file."""
    found = find_arrow(source.path)
    names = [name for name in (source.source_column, source.target_column) if name is not None]
    below = fixed_part(source.path)
    yield from (RawRow(published_path(name, below), None, None, Reason.SKIPPED_FILE) for name in found.skipped)
    for path, name in found.paths.items():
        try:
            with found.files.open(path, "rb") as stream:
                yield from rows_of(_batches(stream, names, shown_path(name)), published_path(name, below), names)
        # Damaged names of columns are no UTF-8 or not there; none of pyarrow's errors names the file.
        except (pa.ArrowException, OSError, KeyError, UnicodeDecodeError) as error:
            told = shown_error(error, name)
            raise DataError(f"{shown_path(name)} cannot be read as Arrow: {told}; is it damaged or cut off?") from error


def find_arrow(path: str) -> Found:
    """The .arrow files of a path, a glob or a folder; those that a dataset's state lists, and in its order.

    Raises DataError for a folder of several splits, a dataset that is a choice of rows, and a file that is not there.
    """
    found = find_files(path, ".arrow")
    root = found.files._strip_protocol(path)
    if found.files.isdir(root):
        names = {name.rsplit("/", 1)[-1]: name for name in found.files.ls(root, detail=False)}
        if _SPLITS in names:
            splits = ", ".join(_json(found.files, names[_SPLITS]).get("splits", []))
            raise DataError(f"{shown_path(path)} holds several splits, {splits}; name one: {shown_path(path)}/train")
        if _STATE in names:
            return _listed(found, path, _json(found.files, names[_STATE]), names)
    if not found.paths:
        raise DataError(f"{shown_path(path)}: no such file, or no .arrow file in it")
    return found


def _listed(found: Found, path: str, state: dict[str, Any], names: dict[str, str]) -> Found:
    """The files of a dataset by its state."""
    if state.get("_indices_data_files"):
        raise DataError(f"{shown_path(path)} is a choice of a dataset's rows; save it anew after flatten_indices()")
    try:
        wanted = [str(item["filename"]) for item in state["_data_files"]]
    except (KeyError, TypeError) as error:
        raise DataError(f"{shown_path(path)}/{_STATE}: no list of _data_files") from error
    if missing := [name for name in wanted if name not in names]:
        raise DataError(
            f"{shown_path(path)}: {_STATE} lists {len(wanted)} files, and {', '.join(missing)} is not there"
        )
    shown = path.rstrip("/")
    return Found(found.files, {names[name]: f"{shown}/{name}" for name in wanted}, found.skipped)


def _json(files: Any, path: str) -> dict[str, Any]:
    try:
        document = json.loads(files.cat_file(path))
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{shown_path(path)}: no JSON: {error}") from error
    if not isinstance(document, dict):
        raise DataError(f"{shown_path(path)}: expected an object of JSON")
    return document


def _batches(stream: Any, names: list[str], path: str) -> Iterator[pa.RecordBatch]:
    head = stream.read(HEAD_BYTES)
    stream.seek(0)
    found = recognise(head)
    if found and found.key not in {"arrow", "binary"}:
        raise DataError(f"{path} cannot be read as Arrow: it holds {found.words}; {found.advice}")
    is_file = head.startswith(_FILE_MARK)
    if not is_file:
        _check_end(stream, path)
    with (pa.ipc.open_file if is_file else pa.ipc.open_stream)(pa.PythonFile(Sized(stream), "r")) as reader:
        check_columns(reader.schema, names, path)
        numbers = range(reader.num_record_batches) if is_file else None
        for batch in map(reader.get_batch, numbers) if numbers is not None else reader:
            check_offsets(batch, names)
            yield batch


def _check_end(stream: Any, path: str) -> None:
    """Raises DataError where a stream was cut off between two messages, which pyarrow takes for its end."""
    size = stream.seek(0, 2)
    stream.seek(max(size - len(_END), 0))
    end = stream.read(len(_END))
    stream.seek(0)
    if end != _END:
        raise DataError(f"{path} cannot be read as Arrow: it has no end; is it damaged or cut off?")
