"""What a recipe asks of a teacher that this kind of teacher cannot do."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from pydantic import BaseModel

from data.errors import ModelError
from data.model_folder import MODEL_FILE
from data.teachers import node_of, section_of, teacher_nodes
from stages.beam_search.config import Config as Decoding
from stages.score import stage as score
from stages.student import stage as student
from stages.teacher import stage as teacher
from stages.teacher.restoring import read_shape
from stages.training.config import ModelConfig


def checkpoint_faults(configs: Mapping[str, BaseModel]) -> Iterator[str]:
    """A line for each teacher without one that is to score with PyTorch."""
    stored = configs.get("score")
    if not isinstance(stored, score.Config) or stored.backend != "torch":
        return
    for name, node in teacher_nodes(configs).items():
        given = configs[node]
        scores = node_of("score", name) in configs
        if scores and isinstance(given, teacher.Config) and not given.has_checkpoint:
            yield (
                f"score.backend: 'torch' needs a teacher with an OpenNMT-py checkpoint, but {section_of(name)}.kind is "
                f"{given.kind!r}; set it to 'ctranslate2' or 'auto'"
            )


def known_shape(given: teacher.Config | None) -> ModelConfig | None:
    """Of a teacher that is trained here, or whose checkpoint is put back; None where only the model itself tells."""
    if given is None or (given.kind != "train" and not given.restore_checkpoint):
        return None
    if given.kind == "train":
        return given.model
    try:
        return read_shape(Path(str(given.path)) / MODEL_FILE)
    except ModelError:  # which the teacher's own faults tell
        return None


def decoder_only_faults(configs: Mapping[str, BaseModel]) -> Iterator[str]:
    """A line for each, where the recipe itself says that its teacher is a language model."""
    given = configs.get("teacher")
    if not isinstance(given, teacher.Config) or not (given.architecture == "decoder-only" or given.prompt):
        return
    decoding, scoring, learner = (configs.get(name) for name in ("decode", "score", "student"))
    if isinstance(decoding, Decoding) and decoding.shortlist:
        yield "decode.shortlist: CTranslate2 has none for a decoder-only teacher; set it to 0"
    if isinstance(scoring, score.Config) and scoring.backend == "torch":
        yield (
            "score.backend: 'torch' scores no decoder-only teacher; set it to 'auto': through CTranslate2, too, it has "
            "all positions in one pass"
        )
    if isinstance(learner, student.Config) and any(each.needs_online_teacher() for _, _, each in learner.course()):
        yield (
            "student.objective: terms that need a teacher in memory compare the student with its encoder and decoder, "
            "and a decoder-only teacher has no encoder; leave them out"
        )
