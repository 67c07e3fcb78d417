"""The sources of a corpus with their languages, and the raw rows of each."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import fsspec

from data.errors import DataError
from data.fingerprint import bytes_digest
from stages.corpus.readers.arrow import find_arrow, read_arrow
from stages.corpus.readers.benchmarks import benchmark_files, missing_benchmark, read_benchmark
from stages.corpus.readers.catalog import matching_files, read_catalog
from stages.corpus.readers.columns import read_parquet
from stages.corpus.readers.files.archives import archive_of
from stages.corpus.readers.files.found import Found, find_files
from stages.corpus.readers.jsonl import read_jsonl
from stages.corpus.readers.opus import read_opus
from stages.corpus.readers.paths import recorded_path, shown_error, shown_path
from stages.corpus.readers.rows import RawRow
from stages.corpus.readers.sources import (
    ArrowSource,
    CatalogSource,
    JsonlSource,
    OpusSource,
    ParquetSource,
    SacrebleuSource,
    Source,
    TextSource,
    TmxSource,
    TsvSource,
    UnitOptions,
    XliffSource,
)
from stages.corpus.readers.text import read_text
from stages.corpus.readers.tmx import read_tmx
from stages.corpus.readers.tsv import read_tsv
from stages.corpus.readers.xliff import read_xliff

# What file systems tell of a file that changes with its content, as `_plain` spells it. They tell other things too that
# change without it, such as when it was last read, or a signed URL that leads to it.
_TIMES = {"mtime", "created", "updated", "modified", "modify", "lastmodified", "modificationtime", "lastwritetime"}
_TAGS = {"etag", "versionid", "generation", "blobid", "xethash", "lfs", "sha", "hex"}
_SUMS = {"digest", "checksum", "contentmd5", "md5hash", "md5checksum", "contenthash", "crc", "crc32c"}
_TELLING = {"size"} | _TIMES | _TAGS | _SUMS


_MARK = "\N{ZERO WIDTH NO-BREAK SPACE}"
# What a source is given as: rows, or a test or valid set, whole.
Role = Literal["source", "test", "valid"]


@dataclass(frozen=True)
class Origin:
    """A source of the corpus; `key` is where it stands in the recipe."""

    key: str
    source: Source
    source_language: str
    target_language: str
    role: Role

    @property
    def name(self) -> str:
        """The name that its rows carry."""
        return self.source.name

    def rows(self, max_characters: int) -> Iterator[RawRow]:
        """Everything in the source, in its order, without byte order marks; raises DataError when it cannot be read."""
        return map(_without_marks, self._rows(max_characters))

    def _rows(self, max_characters: int) -> Iterator[RawRow]:
        longest = 8 * max_characters + 1024  # bytes; whitespace is folded later, and a character has up to 4
        source = self.source
        match source:
            case CatalogSource():
                return read_catalog(source, *self.codes(source))
            case TextSource():
                return read_text(source, longest)
            case TsvSource():
                return read_tsv(source, longest)
            case JsonlSource():
                return read_jsonl(source, longest)
            case ParquetSource():
                return read_parquet(source)
            case ArrowSource():
                return read_arrow(source)
        return self._rows_by_language(source, longest)

    def _rows_by_language(
        self, source: TmxSource | XliffSource | OpusSource | SacrebleuSource, longest: int
    ) -> Iterator[RawRow]:
        """Of kinds that find the two sides by their languages."""
        match source:
            case TmxSource():
                return read_tmx(source, self.codes(source), longest)
            case XliffSource():
                return read_xliff(source, self.codes(source), longest)
            case OpusSource():
                return read_opus(source, self.codes(source), longest)
        return read_benchmark(source, self.languages(), longest)

    def languages(self) -> tuple[str, str]:
        """Source and target language."""
        return self.source_language, self.target_language

    def codes(self, source: CatalogSource | UnitOptions | OpusSource) -> tuple[str, str]:
        """What the files of a source call the two languages."""
        return source.source_code or self.source_language, source.target_code or self.target_language

    def paths(self) -> list[tuple[str, str]]:
        """Keys and values of all paths and URLs that the recipe names, but for sacreBLEU's."""
        found: list[tuple[str, str | None]] = []
        match self.source:
            case TextSource() as source:
                found = [("source_file", source.source_file), ("target_file", source.target_file)]
            case TsvSource() | JsonlSource() | TmxSource() | XliffSource() | OpusSource() as source:
                found = [("file", source.file)]
            case CatalogSource() | ParquetSource() | ArrowSource() as source:
                found = [("path", source.path)]
        # What is inside an archive changes with the archive.
        return [(f"{self.key}.{key}", archive_of(path)) for key, path in found if path is not None]


def _without_marks(row: RawRow) -> RawRow:
    """Files that begin with one and were put together hold it anywhere; it has no other use left and never shows."""
    source, reference = (text.replace(_MARK, "") if text else text for text in (row.source, row.reference))
    return row._replace(source=source, reference=reference)


def missing_paths(origin: Origin) -> list[str]:
    """A line for each path of the recipe where nothing is; the state of URLs shows when they are read."""
    if isinstance(origin.source, SacrebleuSource):
        missing = missing_benchmark(origin.source, origin.languages())
        return [f"{origin.key}.test_set: {missing}"] if missing else []
    absent = ((key, path) for key, path in origin.paths() if _is_local(path) and not _local(origin, path))
    return [f"{key}: {_what_is_there(path, origin.source.kind)}" for key, path in absent]


def _what_is_there(path: str, kind: str) -> str:
    """Why a path is no file that a kind of source can read."""
    plain = Path(path.removeprefix("file://")).expanduser()
    if plain.is_dir() and kind in ("parquet", "arrow"):
        return f"no such file: {path} is a folder without any .{kind} file"
    if plain.is_dir():
        several = f"{path.rstrip('/')}/*"
        return f"expected a file, found a folder: {path}; name one in it, or several by a glob such as {several}"
    if plain.exists():
        return f"expected a file, found a pipe or a device, which can be read once at most: {path}; write it to a file"
    return f"no such file: {path}"


def local_paths(origin: Origin) -> list[Path]:
    """Local files and folders that the source reads and pip did not fetch."""
    if isinstance(origin.source, SacrebleuSource):
        return benchmark_files(origin.source, origin.languages())
    return [found for _, path in origin.paths() if _is_local(path) for found in _local(origin, path)]


def remote_identities(origin: Origin) -> dict[str, str]:
    """What tells a change of each URL that the source reads, as far as its server says: size, time, tag.

    Raises DataError when nothing is there, or it cannot be asked.
    """
    return {recorded_path(path): _identity(key, path) for key, path in origin.paths() if not _is_local(path)}


def _identity(key: str, url: str) -> str:
    try:
        files, path = fsspec.core.url_to_fs(url)
        if fsspec.core.has_magic(path):
            found = files.glob(path, detail=True)
        else:
            found = files.find(path, detail=True) if files.isdir(path) else {path: files.info(path)}
    except Exception as error:  # of whatever library speaks to the server
        raise DataError(f"{key}: {shown_path(url)} cannot be asked for: {shown_error(error, url)}") from error
    if not found:
        raise DataError(f"{key}: nothing is at {shown_path(url)}")
    told = {
        name: {field: str(value) for field, value in info.items() if _plain(field) in _TELLING}
        for name, info in found.items()
    }
    return bytes_digest(json.dumps(told, sort_keys=True).encode())


def _plain(field: str) -> str:
    """`Last-Modified`, `LastModified` and `last_modified` are one to us."""
    return field.lower().replace("-", "").replace("_", "")


def _is_local(path: str) -> bool:
    return ("://" not in path and "::" not in path) or path.startswith("file://")


def _local(origin: Origin, path: str) -> list[Path]:
    source, plain = origin.source, Path(path.removeprefix("file://"))
    if plain.is_file():
        return [plain]
    match source:
        case CatalogSource() if plain.is_dir():
            return [plain / name for name in matching_files(source, *origin.codes(source))]
        case ParquetSource():
            found = find_files(path)
        case ArrowSource() if plain.is_dir():
            found = find_arrow(path)
        case _:
            found = find_files(path, "") if not plain.is_dir() else Found(None, {}, [])
    paths = [Path(name.removeprefix("file://")).expanduser() for name in found.paths.values()]
    # A pipe gives its content once, and to fingerprint it would wait for ever.
    return [one for one in paths if one.is_file() or not one.exists()]
