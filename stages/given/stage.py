"""given: what stands in a teacher's place where its translations are given: no model, but a vocabulary and a name.

Its translations are put to the corpus's rows in join.py, before the tokenizer, which learns of them too; encode.py
makes n-best lists of them.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from data.artifact import Artifact
from data.errors import ModelError
from data.local import write_atomically
from data.model_folder import (
    TeacherInfo,
    end_of,
    model_digest,
    read_vocabulary,
    save_teacher_info,
    vocabulary_digest,
)
from data.runtime import Runtime
from data.teachers import FIRST
from stages.given.config import Config
from stages.text.tokenizer import load_tokenizer
from stages.training.vocabulary import END, Vocabulary

__all__ = ["Config", "run"]

VERSION = "1"
INPUTS = ("tokenizer",)
LIBRARIES = ("sentencepiece",)


def run(inputs: Mapping[str, Artifact], config: Config, output: Artifact, runtime: Runtime) -> dict[str, Any]:
    """Leaves both vocabularies and `potstill.json`: those of the tokenizer, or, beside a first teacher, the latter's.

    So a student has tokens for all that it learns, and soft targets of several teachers mean the same by an id.
    Raises ModelError when the tokenizer does not know its subwords.
    """
    folder = output.work_path()
    source, target, end = _of_teacher(inputs[FIRST].path()) if FIRST in inputs else _of_tokenizer(inputs["tokenizer"])
    for side, tokens in (("source", source), ("target", target)):
        content = json.dumps(tokens, ensure_ascii=False, indent=0).encode()
        write_atomically(folder / f"{side}_vocabulary.json", content)
    info = TeacherInfo(
        kind="given",
        pairs=tuple(config.pairs),
        source_vocabulary_size=len(source),
        target_vocabulary_size=len(target),
        vocabulary_digest=vocabulary_digest(target),
        parameters=0,
        quantization="none",
        end_token="" if end == END else end,
        digest=model_digest(folder),
    )
    save_teacher_info(folder, info)
    return {"kind": "given", "source_vocabulary_size": len(source), "target_vocabulary_size": len(target)}


def _of_teacher(folder: Path) -> tuple[list[str], list[str], str]:
    return read_vocabulary(folder, "source"), read_vocabulary(folder, "target"), end_of(folder)


def _of_tokenizer(artifact: Artifact) -> tuple[list[str], list[str], str]:
    """In the order in which a model that is trained here has them."""
    tokenizer = load_tokenizer(artifact.path())
    sides = tokenizer.source_pieces(), tokenizer.target_pieces()
    if not all(sides):
        raise ModelError(
            f"the tokenizer of kind {tokenizer.kind!r} knows no subwords, and [teacher] has no model that does; set "
            "tokenizer.kind to 'train' or 'file'"
        )
    source, target = (list(Vocabulary.from_tokens(side).tokens) for side in sides)
    return source, target, END
