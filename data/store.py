"""The store: all artefacts of one recipe, in a local folder or behind any fsspec URL."""

import re
from pathlib import Path
from typing import Any

from data.artifact import Artifact
from data.errors import DataError
from data.fingerprint import FINGERPRINT_DIGITS
from data.folder import open_folder
from data.manifest import FileRecord, Manifest, ShardRecord

__all__ = ["Artifact", "FileRecord", "Manifest", "ShardRecord", "Store"]

_NODE = re.compile(r"[a-z][a-z0-9_]*")
_FINGERPRINT = re.compile(rf"[0-9a-f]{{{FINGERPRINT_DIGITS}}}")


class Store:
    """Artefacts by node and fingerprint. `storage_options` go to fsspec; `cache_folder` holds what a remote
    store's whole stages write and read, by default `~/.cache/potstill`.
    """

    def __init__(
        self, url: str, storage_options: dict[str, Any] | None = None, cache_folder: Path | None = None
    ) -> None:
        self.url = str(url).rstrip("/")
        self.storage_options = storage_options
        self.cache_folder = cache_folder

    def artifact(self, node: str, fingerprint: str) -> Artifact:
        """The artefact of a node, whether it is there yet or not; raises DataError for names that are none."""
        if not _NODE.fullmatch(node) or not _FINGERPRINT.fullmatch(fingerprint):
            raise DataError(
                f"{node}-{fingerprint} is no name for an artefact; "
                f"expected <node>-<{FINGERPRINT_DIGITS} hexadecimal digits>"
            )
        url = f"{self.url}/{node}-{fingerprint}"
        return Artifact(url, node, fingerprint, self.storage_options, self.cache_folder)

    def artifacts(self, node: str) -> list[Artifact]:
        """All artefacts of a node, complete or not, sorted by fingerprint."""
        names = open_folder(self.url, self.storage_options).entries()
        split = [name.rpartition("-") for name in names]
        return [self.artifact(node, tail) for head, _, tail in split if head == node and _FINGERPRINT.fullmatch(tail)]
