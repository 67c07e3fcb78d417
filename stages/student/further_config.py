"""Distilled datasets beside the recipe's own, as a recipe names them: data distillation."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import get_args

from pydantic import BaseModel, ConfigDict, Field

from data.artifact import MANIFEST
from data.errors import DataError
from data.language_tags import Direction
from data.manifest import Manifest, parse_manifest
from stages.training.data_config import DataKind
from stages.training.schedules import Value, scaled


class DatasetConfig(BaseModel):
    """A dataset that Potstill made, with its manifest: of another run, or a published copy."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    name: str = Field(description="what its batches are called", pattern=r"^[A-Za-z][\w-]*$")
    path: str = Field(
        description="its folder, such as runs/other/dataset-<fingerprint>; with * a pattern of which just one is there"
    )
    ratio: float = Field(1.0, description="batches of it for each one of the recipe's own dataset", gt=0)

    def manifests(self) -> list[Path]:
        """The file that names all others with their digests, in every folder that the path may mean."""
        given = Path(self.path) / MANIFEST
        if "*" not in self.path:
            return [given] if given.is_file() else []
        return sorted(Path(given.anchor).glob(str(given.relative_to(given.anchor))))

    def manifest(self) -> Path:
        """That of the one folder; raises DataError when there is none, or are several."""
        found = self.manifests()
        if not found:
            raise DataError(
                f"{self.path} holds no {MANIFEST}; expected the folder of a distilled dataset, dataset-<fingerprint>"
            )
        if len(found) > 1:
            folders = ", ".join(str(path.parent) for path in found)
            raise DataError(f"{self.path} may mean {folders}; name one of them")
        return found[0]

    def content(self) -> Manifest:
        """What the manifest says; raises DataError when there is no one folder, or it cannot be read."""
        path = self.manifest()
        return parse_manifest(path.read_bytes(), str(path))


def name_faults(datasets: Sequence[DatasetConfig]) -> str:
    """What is wrong with their names; empty when nothing is."""
    names, taken = [one.name for one in datasets], {*get_args(DataKind), "valid"}
    if wrong := sorted({name for name in names if name in taken or names.count(name) > 1}):
        return f"the name {', '.join(wrong)} is taken: each dataset needs one of its own"
    return ""


def file_faults(datasets: Sequence[DatasetConfig]) -> list[str]:
    """A line for each folder that is not there or holds no dataset of Potstill's."""
    return [
        f"student.datasets[{number}].path: {fault}"
        for number, one in enumerate(datasets)
        if (fault := _file_fault(one))
    ]


def _file_fault(one: DatasetConfig) -> str:
    try:
        manifest = one.content()
    except (DataError, OSError) as error:
        return f"{error}; run the recipe that makes it first, with --until dataset"
    if manifest.stage != "dataset":
        return f"{one.path} was made by the stage {manifest.stage}; expected a folder of the stage dataset"
    return ""


def pairs_of(datasets: Sequence[DatasetConfig]) -> set[Direction]:
    """The language pairs of their rows; raises DataError for a folder that holds no dataset."""
    told = [pair for one in datasets for pair in one.content().metrics.get("languages", [])]
    return {Direction(pair["source"], pair["target"]) for pair in told}


def with_further(shares: Mapping[str, Value], datasets: Sequence[DatasetConfig]) -> dict[str, Value]:
    """Shares of all streams by name: wherever the recipe's own dataset has one, all others have theirs."""
    own = shares.get("hypothesis")
    return dict(shares) | ({one.name: scaled(own, one.ratio) for one in datasets} if own is not None else {})
