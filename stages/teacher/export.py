"""A teacher's folder for others to name in their recipes: what is needed to translate, and nothing of its training."""

import shutil
import uuid
from collections.abc import Sequence
from pathlib import Path

from data.artifact import Artifact
from data.errors import DataError
from data.local import TEMPORARY_SUFFIX, storage_faults, sync
from data.model_folder import CHECKPOINT_FILE, check_is_model
from stages.training.curves import CURVES, TIMINGS

_OF_TRAINING = (CHECKPOINT_FILE, CURVES, TIMINGS)


def export_teacher(teacher: Artifact, folder: Path) -> list[str]:
    """Copies the model, vocabularies, tokenizer and `potstill.json`, all of them or none; returns the files' names.

    Raises DataError when `folder` is a file or holds any (two models mixed would be silently wrong), PotstillError
    when it cannot be written, ModelError when there is no model in it.
    """
    with storage_faults(folder):
        _check_new(folder)
        root = teacher.path()
        check_is_model(root)
        names = [record.name for record in teacher.manifest().files if record.name not in _OF_TRAINING]
        _copy(root, names, folder.resolve())
    return names


def _check_new(folder: Path) -> None:
    if folder.exists() and not folder.is_dir():
        raise DataError(f"{folder} is a file; expected a folder that is new or empty: name another")
    if folder.is_dir() and any(folder.iterdir()):
        raise DataError(f"{folder} is not empty; expected a folder that is new or empty: remove it or name another")


def _copy(root: Path, names: Sequence[str], folder: Path) -> None:
    """Under another name, which is changed when all is there: what was cut short is not taken for a teacher."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = folder.with_name(f".{folder.name}.{uuid.uuid4().hex}{TEMPORARY_SUFFIX}")
    try:
        temporary.mkdir()
        for name in names:
            (temporary / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(root / name, temporary / name)
            sync(temporary / name)
        # An empty folder of the name gives way.
        temporary.replace(folder)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
