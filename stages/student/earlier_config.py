"""A student that was trained before, as a recipe names it: to train it further, on the same data or on other."""

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from data.artifact import MANIFEST
from data.errors import DataError
from data.manifest import Manifest, parse_manifest
from data.model_folder import CHECKPOINT_FILE
from stages.training.config import ModelConfig

STATE_FILE = "state.pt"
_STAGES = ("student", "baseline")


class EarlierConfig(BaseModel):
    """A finished student of this or of another run."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    path: str = Field(
        description="its folder, such as runs/other/student-<fingerprint>; with * a pattern of which just one is there"
    )
    take: Literal["weights", "all"] = Field(
        "weights",
        description="weights: a new training begins with them, such as on other data; all: the training goes on, with "
        "its optimiser, averages and place in the data, and optimiser.steps counts those it has had",
    )

    def folder(self) -> Path:
        """The one folder; raises DataError when there is none, or are several."""
        found = [path.parent for path in self._manifests()]
        if len(found) > 1:
            raise DataError(f"{self.path} may mean {', '.join(map(str, found))}; name one of them")
        if not found:
            raise DataError(f"{self.path} holds no {MANIFEST}; expected the folder of a student, student-<fingerprint>")
        return found[0]

    def content(self) -> Manifest:
        """What its manifest says; raises DataError when there is no one folder, or it cannot be read."""
        path = self.folder() / MANIFEST
        return parse_manifest(path.read_bytes(), str(path))

    def identity(self) -> str:
        """What tells this student from others: who made it, and what came out."""
        manifest = self.content()
        return f"{manifest.stage}-{manifest.fingerprint} {manifest.content_digest()}"

    def lineage(self) -> list[str]:
        """Its fingerprint, and those of all that it was itself trained further from, the nearest first."""
        manifest = self.content()
        return [manifest.fingerprint, *manifest.metrics.get("lineage", [])]

    def faults(self, model: ModelConfig, steps: int | None) -> list[str]:
        """A line for each thing that does not fit; `steps`: those of the whole training, if they are known."""
        try:
            return [f"student.earlier: {fault}" for fault in self._faults(model, steps)]
        except (DataError, OSError) as error:
            return [f"student.earlier.path: {error}; run the recipe that makes it first, with --until student"]

    def _faults(self, model: ModelConfig, steps: int | None) -> Iterator[str]:
        manifest = self.content()
        if manifest.stage not in _STAGES:
            yield f"{self.path} was made by the stage {manifest.stage}; expected a folder of the stage student"
            return
        theirs = manifest.config.get("model", {})
        for name, ours in model.shape().items():
            if name in theirs and theirs[name] != ours:
                yield f"model.{name} is {ours}, and that of {self.path} {theirs[name]}; set it to {theirs[name]}"
        names = {file.name for file in manifest.files}
        wanted = (CHECKPOINT_FILE, STATE_FILE) if self.take == "all" else (CHECKPOINT_FILE,)
        if missing := [name for name in wanted if name not in names]:
            yield (
                f"{self.path} holds no {', '.join(missing)}: it was trained with optimiser.keep_state = false, or by "
                'an older version; set take = "weights"'
            )
        had = manifest.metrics.get("steps", 0)
        if self.take == "all" and steps is not None and steps <= had:
            yield f"optimiser.steps is {steps}, and {self.path} has had {had} of them; raise it"

    def _manifests(self) -> list[Path]:
        given = Path(self.path) / MANIFEST
        if "*" not in self.path:
            return [given] if given.is_file() else []
        return sorted(Path(given.anchor).glob(str(given.relative_to(given.anchor))))
