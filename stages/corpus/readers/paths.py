"""What is shown of the recipe's paths and URLs, in messages, rows and manifests: not what lets somebody in."""

import re
from pathlib import PurePath

from data.fingerprint import bytes_digest

# User and password. What these others have before the @ names a repository or a container.
_USER = re.compile(r"\b(?!(?:git|github|abfss?|az)://)([a-z][a-z0-9+.-]*://)[^/?#\s]*@", re.IGNORECASE)
_QUERY = re.compile(r"(://[^?\n'\"]*)\?[^\s'\")]*")
_DIGITS = 16


def check_path(path: str) -> str:
    """The path or URL; ValueError where it holds a user or password."""
    if _USER.search(_split(path)[0]):
        raise ValueError(
            f"{shown_path(path)}: given with a user or password, which every manifest of a run would keep; take it out "
            "of the URL and tell fsspec: in ~/.config/fsspec/conf.json, or in variables such as FSSPEC_FTP_USERNAME "
            "and FSSPEC_FTP_PASSWORD"
        )
    return path


def shown_path(path: str) -> str:
    """A path as it is; a URL without user, password, and query, which may be a signature."""
    return _USER.sub(r"\1", _split(path)[0])


def shown_error(error: BaseException, path: str) -> str:
    """An error's text, in which its path or URL is shown like that, and any other URL has no query."""
    return _QUERY.sub(r"\1", str(error).replace(path, shown_path(path)))


def recorded_path(path: str) -> str:
    """The same with a digest of the query, as fingerprints cover it: it may decide what a server sends."""
    query = _split(path)[1]
    return f"{shown_path(path)}?{bytes_digest(query.encode())[:_DIGITS]}" if query else path


def published_path(path: str, below: str = "") -> str:
    """What rows say: a URL as it is shown, a relative path as it is, and of an absolute one its name alone.

    Of one below the folder `below` it is all that is below it. Where a machine keeps its files is no part of a dataset.
    """
    return "::".join(_published(part, below) for part in shown_path(path).split("::"))


def _published(part: str, below: str) -> str:
    local, folder = PurePath(part.removeprefix("file://")), PurePath(below.removeprefix("file://"))
    if not local.is_absolute():
        return part
    return local.relative_to(folder).as_posix() if folder in local.parents else local.name


def _split(path: str) -> tuple[str, str]:
    """A URL and its query; in a path `?` is a wildcard."""
    head, _, query = path.partition("?") if "://" in path else (path, "", "")
    return head, query
