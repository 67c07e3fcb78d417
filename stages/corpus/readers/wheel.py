"""A wheel from the package index, fetched by pip into a cache."""

import hashlib
import subprocess
import sys
import tempfile
from pathlib import Path

import fsspec

from data.errors import DataError
from data.local import user_cache
from stages.corpus.readers.paths import shown_error, shown_path

_SECONDS = 1800


def fetch_wheel(requirement: str, python_version: str | None, cache: Path | None = None) -> Path:
    """The wheel of `name==version`, from the cache or fetched; raises DataError with pip's last words.

    Nothing of the package is installed or run. `python_version` lets a wheel through that needs a newer Python.
    """
    folder = (cache or default_cache()) / requirement.replace("==", "-")
    if found := sorted(folder.glob("*.whl")):
        return found[0]
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        _download(requirement, python_version, Path(scratch))
        wheel = next(iter(sorted(Path(scratch).glob("*.whl"))), None)
        if wheel is None:
            raise DataError(f"pip fetched no wheel for {requirement}; give a path to one instead")
        return wheel.replace(folder / wheel.name)


def default_cache() -> Path:
    """`wheels` in the user's cache folder of Potstill."""
    return user_cache() / "wheels"


def check_sha256(path: str, expected: str) -> None:
    """Raises DataError when the SHA-256 of a file, on disk or behind a URL, is another."""
    try:
        with fsspec.open(path, "rb") as stream:
            found = hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        told = f"{shown_path(path)}: no SHA-256 of it can be taken: {shown_error(error, path)}"
        raise DataError(f"{told}; expected one file") from error
    if found != expected:
        raise DataError(
            f"{shown_path(path)}: found SHA-256 {found}, expected {expected}; delete it, or mend sha256 in the recipe"
        )


def _download(requirement: str, python_version: str | None, folder: Path) -> None:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    command += ["--only-binary=:all:", "--dest", str(folder)]
    command += ["--python-version", python_version] if python_version else []
    try:
        # The requirement was checked to be name==version, so it cannot be taken for an option.
        done = subprocess.run([*command, requirement], capture_output=True, text=True, timeout=_SECONDS, check=False)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired) as error:
        raise DataError(f"pip could not fetch {requirement}: {error}") from error
    if done.returncode:
        last = " ".join(done.stderr.strip().splitlines()[-2:]) or f"exit status {done.returncode}"
        raise DataError(f"pip could not fetch {requirement}: {last}")
