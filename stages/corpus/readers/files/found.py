"""Files that a path, a folder or a glob stands for."""

from typing import Any, NamedTuple

import fsspec

WILD = "*?["


class Found(NamedTuple):
    """A file system, its files that are read, with their names below the recipe's path, and names of the others."""

    files: Any
    paths: dict[str, str]
    skipped: list[str]


def find_files(path: str, suffix: str = ".parquet") -> Found:
    """The sorted files of a path, a glob or a folder.

    Of the last two none is read whose name, or that of a folder on the way, begins with `.` or `_`: macOS, Spark and
    others leave there what is no data, and pyarrow, Dask and Spark look over it as well.
    """
    files, root = fsspec.core.url_to_fs(path)
    if files.isdir(root):
        found = [name for name in files.find(root) if name.endswith(suffix)]
        base = root.rstrip("/")
        named = {name: f"{path.rstrip('/')}{name[len(base) :]}" for name in sorted(found)}
        return _without_hidden(files, named, {name: name[len(base) :] for name in named})
    if files.exists(root):
        return Found(files, {root: path}, [])
    if not any(mark in path for mark in WILD):
        return Found(files, {}, [])
    # The part without wildcards is as long in `path` as it is given; in `root` it is absolute.
    tail = len(path) - len(fixed_part(path))
    below = {name: name[len(root) - tail :] for name in sorted(files.glob(root))}
    return _without_hidden(files, {name: fixed_part(path) + rest for name, rest in below.items()}, below)


def _without_hidden(files: Any, named: dict[str, str], below: dict[str, str]) -> Found:
    hidden = {name for name, rest in below.items() if any(part[:1] in {".", "_"} for part in rest.split("/") if part)}
    paths = {name: shown for name, shown in named.items() if name not in hidden}
    return Found(files, paths, [shown for name, shown in named.items() if name in hidden])


def fixed_part(path: str) -> str:
    """The folder below which a glob looks, with its slash; a path without wildcards whole."""
    wild = [path.index(mark) for mark in WILD if mark in path]
    return path[: path.rfind("/", 0, min(wild)) + 1] if wild else path
