"""What a recipe asks of a teacher that this kind of teacher cannot do."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from pydantic import BaseModel

from data.errors import ModelError
from data.model_folder import MODEL_FILE, load_teacher_info
from data.teachers import FIRST, node_of, section_of, teacher_nodes
from stages.beam_search.config import Config as Decoding
from stages.score import stage as score
from stages.student import stage as student
from stages.teacher import stage as teacher
from stages.teacher.restoring import read_shape
from stages.text.own_models import find_models
from stages.tokenizer import stage as tokenizer
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


def tokenizer_faults(configs: Mapping[str, BaseModel]) -> Iterator[str]:
    """A line for each ready-made teacher whose subwords are said to be others than its own, or cannot be found."""
    for name, node in teacher_nodes(configs).items():
        given, own = configs[node], node_of("tokenizer", name)
        place = own if own in configs else "tokenizer"
        chosen = configs.get(place)
        if not isinstance(given, teacher.Config) or not isinstance(chosen, tokenizer.Config) or given.kind == "train":
            continue
        key = f"{section_of(name)}.tokenizer" if own in configs and name != FIRST else "tokenizer"
        if chosen.kind == "train" and not _was_trained_here(given):
            yield (
                f"{key}.kind: 'train' makes new subwords, but {section_of(name)} is a ready-made model and knows its "
                "own alone; set it to 'teacher', or to 'file' with the files that it was trained with"
            )
        if chosen.kind == "teacher" and (fault := _without_models(given)):
            yield f"{key}.kind: 'teacher': {fault}"


def _was_trained_here(given: teacher.Config) -> bool:
    """Whether the same tokenizer may be trained again beside it: the folder is what Potstill made of a training."""
    try:
        return given.path is not None and load_teacher_info(Path(given.path)).kind == "train"
    except ModelError:
        return False


def _without_models(given: teacher.Config) -> str:
    """Why its folder has no subword models, where it is a folder that can be looked at."""
    folder = Path(str(given.path))
    if given.kind not in ("ctranslate2", "transformers") or not folder.is_dir():
        return ""
    try:
        find_models(folder)
    except ModelError as error:
        # transformers makes a tokenizer of what else there is.
        return "" if given.kind == "transformers" and any(folder.glob("vocab*")) else str(error)
    return ""
