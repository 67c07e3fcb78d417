"""Trees of other commits, and processes that run in them."""

import io
import json
import os
import subprocess
import sys
import tarfile
from collections.abc import Sequence
from pathlib import Path

from bench.fixtures import ROOT

# The last before batches of several pairs were mixed and pools made ahead.
BEFORE = "fdd273b"


def tree_of(commit: str, folder: Path, *added: str) -> Path:
    """The files of a commit, with some of this tree's `added` to them."""
    packed = subprocess.run(  # noqa: S603
        ["git", "archive", "--format=tar", commit],  # noqa: S607
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    with tarfile.open(fileobj=io.BytesIO(packed.stdout)) as archive:
        archive.extractall(folder, filter="data")
    for name in added:
        (folder / name).write_bytes((ROOT / name).read_bytes())
    return folder


def told_by(module: str, arguments: Sequence[str], tree: Path) -> dict[str, float]:
    """What a process prints of itself, run in a tree."""
    environment = os.environ | {"PYTHONPATH": str(tree)}
    command = [sys.executable, "-m", module, *arguments]
    done = subprocess.run(command, cwd=tree, env=environment, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        raise RuntimeError(f"{module} failed:\n{done.stderr[-3000:]}")
    told: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return told
