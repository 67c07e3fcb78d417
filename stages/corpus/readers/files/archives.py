"""Members of zip and tar archives, by name and as streams; a bare archive of several files is none of them."""

import io
import re
import struct
import tarfile
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from itertools import islice
from typing import IO, NamedTuple, cast

from data.errors import DataError
from stages.corpus.readers.paths import shown_error, shown_path

ARCHIVE_DAMAGES = (zipfile.BadZipFile, tarfile.TarError)
# What Python's zipfile runs into on damaged lists of members: other versions, names in no encoding, offsets nowhere.
ZIP_DAMAGES = (zipfile.BadZipFile, OSError, ValueError, EOFError, NotImplementedError, RuntimeError, struct.error)
_MEMBER = re.compile(r"(zip|tar)://(.+?)::(.+)", re.DOTALL)
_SHOWN_NAMES = 10
# Of a tar archive so much is looked at for a message.
_LISTED, _LISTED_BYTES = 100, 1 << 25
_LONGEST_HEADER = 1 << 20
_OFFICE = {"[Content_Types].xml", "mimetype"}


class Member(NamedTuple):
    """A file inside an archive: `zip://NAME::PATH of the archive`."""

    kind: str
    name: str
    archive: str


class _BoundedInfo(tarfile.TarInfo):
    """A header of tar that may not claim to be longer than headers are: the whole of it is read into memory."""

    def _proc_member(self, archive: tarfile.TarFile) -> tarfile.TarInfo:
        if not (self.isfile() or self.isdir()) and self.size > _LONGEST_HEADER:
            raise tarfile.ReadError(f"a header of {self.size} bytes")
        return cast(tarfile.TarInfo, super()._proc_member(archive))  # type: ignore[misc]


def names_member(path: str) -> Member | None:
    """The member that a path names, None where it names a file."""
    match = _MEMBER.fullmatch(path)
    return Member(match[1], _plain(match[2]), match[3]) if match else None


def open_zip(stream: IO[bytes], path: str) -> zipfile.ZipFile:
    """The archive in a stream that can seek; raises DataError where it is none, or damaged."""
    try:
        return zipfile.ZipFile(stream)
    except ZIP_DAMAGES as error:
        told = f"{shown_path(path)} cannot be read: {shown_error(error, path)}"
        raise DataError(f"{told}; expected a zip archive: is it damaged or cut off?") from error


def archive_of(path: str) -> str:
    """The archive in which a path names a member, or the path itself."""
    member = names_member(path)
    return archive_of(member.archive) if member else path


def open_zipped(archive: IO[bytes], member: Member, stack: ExitStack) -> IO[bytes]:
    """A member's bytes out of a zip that can seek; raises DataError with the names that there are, if it is none."""
    opened = stack.enter_context(open_zip(archive, member.archive))
    names = {_plain(info.filename): info for info in zipped_files(opened)}
    if member.name not in names:
        raise _missing(member, names)
    return _zipped(opened, names[member.name], member.archive, stack)


def open_tarred(archive: IO[bytes], member: Member, stack: ExitStack) -> IO[bytes]:
    """A member's bytes out of an unpacked tar, which is read up to there; raises DataError likewise."""
    seen = []
    tar = stack.enter_context(tarfile.open(fileobj=archive, mode="r|", tarinfo=_BoundedInfo))  # noqa: SIM115
    for info in tar:
        if info.isfile() and _plain(info.name) == member.name:
            return stack.enter_context(cast(IO[bytes], tar.extractfile(info)))
        seen += [_plain(info.name)] if info.isfile() else []
    raise _missing(member, seen)


def open_single(archive: IO[bytes], path: str, stack: ExitStack) -> tuple[IO[bytes], str]:
    """The one file in a zip and its name; raises DataError that lists what there is where it holds others too."""
    opened = stack.enter_context(open_zip(archive, path))
    names = zip_names(opened)
    if any(name in _OFFICE for name in names):
        raise DataError(f"{shown_path(path)} holds an office document; take the texts out of it first")
    if len(names) != 1:
        raise _several("zip", path, names)
    return _zipped(opened, opened.getinfo(names[0]), path, stack), names[0]


def refuse_tar(content: IO[bytes], path: str) -> None:
    """Raises the DataError that lists what an unpacked tar holds, as far as its beginning tells."""
    beginning = io.BytesIO(content.read(_LISTED_BYTES))
    raise _several("tar", path, sorted(islice(tar_names(beginning), _LISTED)))


def zip_names(archive: zipfile.ZipFile) -> list[str]:
    """Names of all files in a zip, sorted, without what macOS puts beside them."""
    names = {info.filename for info in zipped_files(archive)}
    return sorted(name for name in names if not name.startswith("__MACOSX/") and not name.endswith(".DS_Store"))


def zipped_files(archive: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    """Members of a zip that are files and have a name, which damaged ones need not have."""
    return [info for info in archive.infolist() if info.filename and not info.filename.endswith("/")]


def tar_names(content: IO[bytes]) -> Iterator[str]:
    """Names of the files in an unpacked tar, in its order, up to where it is damaged."""
    try:
        with tarfile.open(fileobj=content, mode="r|", tarinfo=_BoundedInfo) as tar:
            yield from (_plain(info.name) for info in tar if info.isfile())
    except tarfile.TarError:
        return


def _zipped(opened: zipfile.ZipFile, info: zipfile.ZipInfo, path: str, stack: ExitStack) -> IO[bytes]:
    try:
        return stack.enter_context(opened.open(info))
    except ZIP_DAMAGES as error:  # it is encrypted, say, or packed in a way Python does not know
        raise DataError(f"{shown_path(path)}: {info.filename} cannot be read: {error}; pack it anew") from error


def _missing(member: Member, names: Iterable[str]) -> DataError:
    return DataError(f"{shown_path(member.archive)}: no member {member.name}; it has {_shown(sorted(names))}")


def _several(kind: str, path: str, names: list[str]) -> DataError:
    example = max(names, key=len) if names else "NAME"
    opus = '; kind = "opus" reads an archive of OPUS in Moses format' if kind == "zip" else ""
    return DataError(
        f"{shown_path(path)} is a {kind} archive of {_shown(names)}; name the member that is meant: "
        f"{kind}://{example}::{shown_path(path)}{opus}"
    )


def _shown(names: list[str]) -> str:
    more = f" and {len(names) - _SHOWN_NAMES} more" if len(names) > _SHOWN_NAMES else ""
    return ", ".join(names[:_SHOWN_NAMES]) + more or "no files"


def _plain(name: str) -> str:
    return name.removeprefix("./").lstrip("/")
