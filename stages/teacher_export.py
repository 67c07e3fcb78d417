"""A teacher's folder for others to name in their recipes: what is needed to translate, and nothing of its training."""

import shutil
from pathlib import Path

from data.artifact import Artifact
from data.errors import DataError
from data.model_folder import CHECKPOINT_FILE
from stages.teacher_training import CURVES

_OF_TRAINING = (CHECKPOINT_FILE, CURVES)


def export_teacher(teacher: Artifact, folder: Path) -> list[str]:
    """Copies the model, vocabularies, tokenizer and `potstill.json`; returns the files' names.

    Raises DataError when `folder` holds files already: two models mixed would be silently wrong.
    """
    if folder.is_dir() and any(folder.iterdir()):
        raise DataError(f"{folder} is not empty; expected a folder that is new or empty: remove it or name another")
    folder.mkdir(parents=True, exist_ok=True)
    root = teacher.path()
    names = [record.name for record in teacher.manifest().files if record.name not in _OF_TRAINING]
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(root / name, folder / name)
    return names
