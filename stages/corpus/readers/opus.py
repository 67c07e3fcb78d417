"""OPUS's archives in Moses format: two members of parallel lines beside a README and a licence."""

from collections.abc import Iterator

import fsspec

from data.errors import DataError
from stages.corpus.readers.files.archives import open_zip, zip_names
from stages.corpus.readers.paths import published_path, shown_error, shown_path
from stages.corpus.readers.rows import RawRow
from stages.corpus.readers.sources import OpusSource
from stages.corpus.readers.text import read_parallel


def read_opus(source: OpusSource, languages: tuple[str, str], longest: int) -> Iterator[RawRow]:
    """Rows in order of lines; raises DataError when there is no one member for each language, by its suffix."""
    members = [_member(source, language) for language in languages]
    path, other = (f"zip://{name}::{source.file}" for name in members)
    yield from read_parallel(path, other, published_path(path), longest, source.anything)


def _member(source: OpusSource, language: str) -> str:
    try:
        with fsspec.open(source.file, "rb", compression=None) as stream, open_zip(stream, source.file) as archive:
            names = zip_names(archive)
    except FileNotFoundError as error:
        raise DataError(f"{shown_path(source.file)}: no such file") from error
    except OSError as error:
        told = shown_error(error, source.file)
        raise DataError(f"{shown_path(source.file)}: {told}; expected a zip of OPUS in Moses format") from error
    suffix = "." + language.lower().replace("_", "-")
    found = [name for name in names if name.lower().replace("_", "-").endswith(suffix)]
    if len(found) != 1:
        raise DataError(
            f"{shown_path(source.file)}: {len(found) or 'no'} members end with .{language}; it has "
            f"{', '.join(names)[:300]}; source_code and target_code name other suffixes"
        )
    return found[0]
