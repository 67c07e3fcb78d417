"""A table as Parquet bytes: the same table always gives the same bytes."""

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from data.errors import DataError
from data.fingerprint import bytes_digest, mapping_digest
from data.local import check_passing

ROW_GROUP_ROWS = 1 << 16
SUFFIX = ".parquet"


def encode(table: pa.Table) -> bytes:
    """Parquet with zstd; comments of fields and the schema's metadata are kept.

    Packed binary columns and ids do not repeat, so a dictionary or statistics would only cost.
    Raises DataError when a column holds a null that its field does not allow.
    """
    plain = {path for path, kind in leaf_columns(table.schema) if pa.types.is_binary(kind) or path == "id"}
    others = [path for path, _ in leaf_columns(table.schema) if path not in plain]
    sink = pa.BufferOutputStream()
    try:
        pq.write_table(
            _uniform(table),
            sink,
            row_group_size=ROW_GROUP_ROWS,
            compression="zstd",
            use_dictionary=others or False,
            write_statistics=others or False,
            store_schema=True,
        )
    except pa.ArrowInvalid as error:
        raise DataError(f"table cannot be written: {error}") from error
    return bytes(sink.getvalue())


def column_digests(table: pa.Table) -> dict[str, str]:
    """BLAKE2b of each column's content, with the schema's metadata: other columns and the file's packing do not matter.

    Plain Parquet, as it has nothing of how a table lies in memory: chunks, offsets, or what stands below a null.
    """
    metadata = bytes_digest(repr(sorted((table.schema.metadata or {}).items())).encode())
    contents = {name: _content_digest(table.select([name]).combine_chunks()) for name in table.column_names}
    return {name: mapping_digest({"metadata": metadata, "content": content}) for name, content in contents.items()}


def _content_digest(table: pa.Table) -> str:
    sink = pa.BufferOutputStream()
    pq.write_table(
        table,
        sink,
        row_group_size=ROW_GROUP_ROWS,
        compression="none",
        use_dictionary=False,
        write_statistics=False,
        store_schema=False,
    )
    return bytes_digest(sink.getvalue())


def decode(source: Any, columns: Sequence[str] | None, where: str) -> pa.Table:
    """A table from a path or stream; `columns` in the order asked for, all when None; raises DataError."""
    try:
        with contextlib.closing(pq.ParquetFile(source)) as file:
            names = file.schema_arrow.names
            if missing := [name for name in columns or () if name not in names]:
                raise DataError(f"has no column {', '.join(missing)}; it has {', '.join(names)}", shard=where)
            return file.read(columns=None if columns is None else list(columns))
    except (pa.ArrowException, OSError) as error:
        if isinstance(error, OSError):
            check_passing(error, where)
        raise DataError(f"cannot be read as Parquet: {error}", shard=where) from error


def _uniform(table: pa.Table) -> pa.Table:
    """Equal tables can differ in chunks and in the order of their metadata, which the bytes must not show."""
    metadata = table.schema.metadata
    return table.combine_chunks().replace_schema_metadata(dict(sorted(metadata.items())) if metadata else None)


def leaf_columns(schema: pa.Schema) -> Iterator[tuple[str, pa.DataType]]:
    """Parquet's path and the type of every column on disk: lists and structs are taken apart."""
    for field in schema:
        yield from _leaves(field.name, field.type)


def _leaves(path: str, kind: pa.DataType) -> Iterator[tuple[str, pa.DataType]]:
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        yield from _leaves(f"{path}.list.element", kind.value_type)
    elif pa.types.is_struct(kind):
        for child in kind:
            yield from _leaves(f"{path}.{child.name}", child.type)
    else:
        yield path, kind
