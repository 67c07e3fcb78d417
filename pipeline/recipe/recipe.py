"""A recipe: one TOML file, its overrides from the command line, and every fault in it at once.

Paths in a recipe are relative to the folder in which `potstill` is started.
"""

import re
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

from data.errors import ConfigError
from data.folder import open_folder
from pipeline.recipe.cross_faults import cross_faults
from pipeline.recipe.faults import did_you_mean
from pipeline.recipe.graph import STAGES, Graph, StageEntry, build_graph
from pipeline.recipe.overrides import apply_overrides
from pipeline.recipe.sections import check_section, check_stages, misplaced_sections, table
from pipeline.recipe.teachers import with_teachers
from pipeline.recipe.tune_config import TuneConfig

_NAME = re.compile(r"[\w.-]+")


class RunConfig(BaseModel):
    """The section `[run]`: where a run is kept and how hard it tries. None of it changes a result."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field("", description="folder below the store; the recipe's file name when absent")
    store: str = Field("runs", description="where artefacts are kept: a folder or any fsspec URL")
    storage_options: dict[str, Any] = Field(default_factory=dict, description="options of that fsspec file system")
    retries: int = Field(2, description="how often a shard that failed is tried again", ge=0, le=20)
    expected_seconds: dict[str, Annotated[float, Field(gt=0)]] = Field(
        default_factory=dict,
        description="what each stage took on some machine, e.g. {decode = 20, student = 60}: from it and the pace of "
        "the machine at hand the time left is told; without it from an earlier run of the same, or from what `potstill "
        "estimate` has measured",
    )
    retry_pause: float = Field(
        1.0, description="seconds before it is, doubled at every further try, up to a minute", ge=0, le=60
    )
    shards_in_flight: int = Field(2, description="shards given to the cluster at a time, for each worker", ge=1, le=64)

    @field_validator("name")
    @classmethod
    def _check_name(cls, name: str) -> str:
        if not _NAME.fullmatch(name) or set(name) == {"."}:
            raise ValueError(f"{name!r} is no name for a folder; expected letters, digits, '_', '.' and '-'")
        return name

    def store_url(self) -> str:
        """The folder of this recipe's artefacts; absolute where it is local, for workers started elsewhere."""
        root = self.store if "://" in self.store else str(Path(self.store).expanduser().absolute())
        return f"{root.rstrip('/')}/{self.name}"


@dataclass(frozen=True)
class Recipe:
    """A recipe without faults: how to run, the graph with each node's config in it, and what a sweep varies."""

    path: Path
    run: RunConfig
    graph: Graph
    tune: TuneConfig | None = None


def read_recipe(
    path: Path, overrides: Sequence[str] = (), stages: Sequence[StageEntry] = STAGES, *, files: bool = True
) -> Recipe:
    """Reads and checks a recipe; `overrides` are `section.key=value`. Raises ConfigError with all faults.

    Without `files`, for who only reads the store, what it names outside of it need not be there any more.
    """
    document = _read_toml(path)
    faults = apply_overrides(document, overrides)
    run, run_faults = _check_run(path, table(document, "run"))
    run_faults += _store_faults(run) if run is not None else []
    stages, teacher_faults = with_teachers(stages, document)
    configs, stage_faults = check_stages(document, stages, files=files)
    faults += [*misplaced_sections(document, stages), *run_faults, *teacher_faults, *stage_faults]
    faults += cross_faults(configs) if files else []
    faults += _expected_faults(run, stages) if run is not None else []
    try:
        graph = build_graph(configs, stages)
    except ConfigError as error:
        faults += error.faults
    tune, tune_faults = check_section(TuneConfig, table(document, "tune"), "tune") if "tune" in document else (None, [])
    faults += tune_faults
    if faults or run is None:
        raise ConfigError([f"recipe {path}: {_count(faults)}", *dict.fromkeys(faults)])
    return Recipe(path, run, graph, tune)


def _check_run(path: Path, section: dict[str, Any]) -> tuple[RunConfig | None, list[str]]:
    run, faults = check_section(RunConfig, {"name": path.stem, **section}, "run")
    if "name" not in section:
        advice = "; it is the recipe's file name: rename the file, or set run.name"
        faults = [f"{fault}{advice}" if fault.startswith("run.name: ") else fault for fault in faults]
    return run, faults


def _expected_faults(run: RunConfig, stages: Sequence[StageEntry]) -> list[str]:
    """What is expected of stages that there are none of."""
    known = {entry.node for entry in stages}
    unknown = sorted(run.expected_seconds.keys() - known)
    return [f"run.expected_seconds.{name}: no such stage{did_you_mean(name, known)}" for name in unknown]


def _store_faults(run: RunConfig) -> list[str]:
    """What keeps the store from being opened here; whether it can be reached shows when it is read."""
    try:
        open_folder(run.store_url(), run.storage_options or None)
    except ImportError as error:
        return [f"run.store: {run.store}: {error}; install that package here and wherever workers run"]
    except Exception as error:  # of whatever library speaks to the server
        known = "a folder, or a URL of a file system that fsspec knows, such as s3://bucket/folder, and its options"
        return [
            f"run.store: {run.store}: {str(error) or type(error).__name__}; expected {known} in run.storage_options"
        ]
    return []


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        near = sorted(str(found) for found in path.parent.glob("*.toml")) if path.parent.is_dir() else []
        raise ConfigError([f"recipe {path}: no such file{did_you_mean(str(path), near)}"]) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError([f"recipe {path}: cannot be read: {error}"]) from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError([f"recipe {path}: not valid TOML: {error}"]) from None


def _count(faults: Sequence[str]) -> str:
    count = len(dict.fromkeys(faults))
    return "1 fault" if count == 1 else f"{count} faults"
