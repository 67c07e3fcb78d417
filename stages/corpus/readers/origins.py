"""The sources of a corpus with their languages, and the raw rows of each."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import fsspec

from data.errors import DataError
from data.fingerprint import bytes_digest
from stages.corpus.readers.catalog import matching_files, read_catalog
from stages.corpus.readers.columns import find_files, read_parquet
from stages.corpus.readers.paths import recorded_path, shown_error, shown_path
from stages.corpus.readers.rows import RawRow
from stages.corpus.readers.sources import CatalogSource, ParquetSource, Source, TextSource, TsvSource
from stages.corpus.readers.text import read_text
from stages.corpus.readers.tsv import read_tsv

# What file systems tell of a file that changes with its content, as `_plain` spells it. They tell other things too that
# change without it, such as when it was last read, or a signed URL that leads to it.
_TIMES = {"mtime", "created", "updated", "modified", "modify", "lastmodified", "modificationtime", "lastwritetime"}
_TAGS = {"etag", "versionid", "generation", "blobid", "xethash", "lfs", "sha", "hex"}
_SUMS = {"digest", "checksum", "contentmd5", "md5hash", "md5checksum", "contenthash", "crc", "crc32c"}
_TELLING = {"size"} | _TIMES | _TAGS | _SUMS


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
        """Everything in the source, in its order; raises DataError when it cannot be read."""
        longest = 8 * max_characters + 1024  # bytes; whitespace is folded later, and a character has up to 4
        source = self.source
        if isinstance(source, CatalogSource):
            return read_catalog(source, *self.codes(source))
        if isinstance(source, TextSource):
            return read_text(source, longest)
        if isinstance(source, TsvSource):
            return read_tsv(source, longest)
        return read_parquet(source)

    def codes(self, source: CatalogSource) -> tuple[str, str]:
        """What the files of a catalog call the two languages."""
        return source.source_code or self.source_language, source.target_code or self.target_language

    def paths(self) -> list[tuple[str, str]]:
        """Keys and values of all paths and URLs that the recipe names."""
        source = self.source
        if isinstance(source, TextSource):
            found = [("source_file", source.source_file), ("target_file", source.target_file)]
        elif isinstance(source, TsvSource):
            found = [("file", source.file)]
        else:
            found = [("path", source.path)]
        return [(f"{self.key}.{key}", path) for key, path in found if path is not None]


def missing_paths(origin: Origin) -> list[str]:
    """A line for each path of the recipe where nothing is; the state of URLs shows when they are read."""
    return [
        f"{key}: no such file: {path}" for key, path in origin.paths() if _is_local(path) and not _local(origin, path)
    ]


def local_paths(origin: Origin) -> list[Path]:
    """Local files and folders that the source reads and pip did not fetch."""
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
    source = origin.source
    if isinstance(source, ParquetSource):
        return [Path(name) for name in find_files(path)[1].values()]
    plain = Path(path.removeprefix("file://"))
    if isinstance(source, CatalogSource) and plain.is_dir():
        return [plain / name for name in matching_files(source, *origin.codes(source))]
    return [plain] if plain.exists() else []
