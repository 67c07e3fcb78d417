"""teacher, without a model: what the dataset wants to know of one."""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict

from data.artifact import Artifact
from data.model_folder import TeacherInfo, save_teacher_info, vocabulary_digest
from data.runtime import Runtime

VERSION = "1"
INPUTS: tuple[str, ...] = ()
LIBRARIES: tuple[str, ...] = ()
VOCABULARY = ("<unk>", "<s>", "</s>", *(f"w{number}" for number in range(4096)))
DIGEST = "0" * 64


class Config(BaseModel):
    """No options."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def run(inputs: Mapping[str, Artifact], config: Config, output: Artifact, runtime: Runtime) -> dict[str, Any]:
    """Writes the vocabulary and `potstill.json`."""
    folder = output.work_path()
    (folder / "shared_vocabulary.txt").write_text("".join(f"{token}\n" for token in VOCABULARY), encoding="utf-8")
    info = TeacherInfo(
        kind="ctranslate2",
        source_vocabulary_size=len(VOCABULARY),
        target_vocabulary_size=len(VOCABULARY),
        vocabulary_digest=vocabulary_digest(VOCABULARY),
        parameters=1,
        quantization="int8",
        digest=DIGEST,
    )
    save_teacher_info(folder, info)
    return {}
