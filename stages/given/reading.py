"""Records of a file that is given, whatever it is: Parquet, an object a line, or tab-separated values; one by one."""

import gzip
import io
import json
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import IO, Any, NamedTuple

import pyarrow as pa

from data.errors import DataError

# Bytes of a line; one with the log-probabilities of a long text has some millions.
LONGEST_LINE = 1 << 26
_ROWS_AT_ONCE = 1024
_DAMAGES = (OSError, EOFError, zlib.error, pa.ArrowException)


class Record(NamedTuple):
    """What a line or a row holds, by field, and where it stands."""

    where: str
    content: Mapping[str, Any]


def read_records(path: Path, wanted: Sequence[str]) -> Iterator[Record]:
    """All records of a file, in its order; raises DataError, which names the file and the line or row.

    `wanted`: the fields that are looked at, of which Parquet reads no others.
    """
    where = "its beginning"
    try:
        for record in _records(path, wanted):
            where = record.where
            yield record
    except _DAMAGES as error:
        raise DataError(f"{path}: cannot be read after {where}: {error}; is it damaged or cut off?") from None


def _records(path: Path, wanted: Sequence[str]) -> Iterator[Record]:
    with path.open("rb") as file:
        head = file.read(4)
    if not head:
        raise DataError(f"{path}: is empty, 0 bytes; expected translations")
    if head == b"PAR1":
        yield from _parquet(path, wanted)
        return
    with closing(_opened(path, head)) as stream:
        yield from _text(path, stream, wanted)


def _opened(path: Path, head: bytes) -> IO[bytes]:
    """The content, unpacked by what it is and not by its name."""
    if head.startswith(b"\x1f\x8b"):
        return io.BufferedReader(gzip.open(path, "rb"), 1 << 20)
    if head.startswith(b"\x28\xb5\x2f\xfd"):
        return io.BufferedReader(pa.CompressedInputStream(pa.OSFile(str(path)), "zstd"), 1 << 20)
    if head.startswith((b"PK\x03\x04", b"BZh", b"\xfd7zX")):
        raise DataError(f"{path}: is packed by zip, bzip2 or xz; expected gzip, zstd or none: unpack it first")
    return path.open("rb")


def _parquet(path: Path, wanted: Sequence[str]) -> Iterator[Record]:
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        names = file.schema_arrow.names
        columns = [name for name in names if name in wanted or any(one.startswith(f"{name}.") for one in wanted)]
        if not columns:
            raise DataError(f"{path}: has the columns {', '.join(names)}; {_expected(wanted)}")
        number = 0
        for batch in file.iter_batches(_ROWS_AT_ONCE, columns=columns):
            for content in batch.to_pylist():
                number += 1
                yield Record(f"{path}, row {number:,}", content)


def _text(path: Path, stream: IO[bytes], wanted: Sequence[str]) -> Iterator[Record]:
    lines = _lines(path, stream)
    first = next(lines, None)
    if first is None:
        raise DataError(f"{path}: has no line with anything on it; expected translations")
    start = first[1].lstrip()
    if start.startswith("["):
        raise DataError(f"{path}: holds one JSON document; expected an object a line: jq -c '.[]' makes them of a list")
    if start.startswith("{"):
        yield _object(path, *first)
        yield from (_object(path, *line) for line in lines)
        return
    header = first[1].split("\t")
    if not set(header) & set(wanted) or len(set(header)) < len(header):
        raise DataError(
            f"{path}:{first[0]}: {first[1][:100]!r} is neither an object of JSON nor the names of columns with tabs "
            f"between, each once; {_expected(wanted)}"
        )
    for number, line in lines:
        values = line.split("\t")
        if len(values) != len(header):
            raise DataError(
                f"{path}:{number}: {len(values)} columns; expected {len(header)}, as in the first line: a tab or a "
                "line's end inside a text has no place in this format, and JSONL has"
            )
        yield Record(f"{path}:{number}", dict(zip(header, values, strict=True)))


def _object(path: Path, number: int, line: str) -> Record:
    try:
        content = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}:{number}: {line[:100]!r} is no JSON: {error}; expected an object a line") from None
    if not isinstance(content, dict):
        raise DataError(f"{path}:{number}: expected an object of JSON; found {line[:100]!r}")
    return Record(f"{path}:{number}", content)


def _lines(path: Path, stream: IO[bytes]) -> Iterator[tuple[int, str]]:
    """Lines that are not blank, each with its number, from 1."""
    number = 0
    while line := stream.readline(LONGEST_LINE + 1):
        number += 1
        if len(line) > LONGEST_LINE:
            raise DataError(f"{path}:{number}: a line of over {LONGEST_LINE:,} bytes; expected a translation a line")
        try:
            text = line.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r\n")
        except UnicodeDecodeError as error:
            raise DataError(f"{path}:{number}: is not UTF-8 ({error.reason}); write the file anew in UTF-8") from None
        if text.strip():
            yield number, text


def _expected(wanted: Sequence[str]) -> str:
    return (
        f"expected id or source, and target or hypotheses, by these names or those of teacher.fields "
        f"({', '.join(wanted)})"
    )
