"""A student that starts from its teacher: is there a checkpoint to start from, and do the shapes fit?"""

from collections.abc import Iterator, Mapping

from pydantic import BaseModel

from pipeline.recipe.rules.teacher import known_shape
from stages.student import stage as student
from stages.teacher import stage as teacher
from stages.tokenizer import stage as tokenizer


def start_faults(configs: Mapping[str, BaseModel]) -> Iterator[str]:
    """A line for each; of a teacher that is converted here, the shape is known only when it is read."""
    given = configs.get("teacher")
    known = given if isinstance(given, teacher.Config) else None
    for node in ("student", "baseline"):
        learner = configs.get(node)
        if not isinstance(learner, student.Config) or learner.start is None:
            continue
        if known is not None and (refused := _refused(known)):
            yield f"{node}.start: {refused}; leave [{node}.start] out, or take a teacher that has"
            continue
        shape = known_shape(known)
        yield from (f"{node}.{fault}" for fault in learner.start.faults(learner.model, shape))
        if shape is not None and learner.model.share_embeddings and not shape.share_embeddings and _joint(configs):
            yield (
                f"{node}.model.share_embeddings: the teacher's source and target embeddings are two, and one matrix "
                "cannot start as both; set it to false"
            )


def _joint(configs: Mapping[str, BaseModel]) -> bool:
    """Whether both languages have one vocabulary; else no embedding is shared, whatever the keys say."""
    given = configs.get("tokenizer")
    return isinstance(given, tokenizer.Config) and (
        given.kind == "train" or (given.kind == "file" and given.target_model is None)
    )


def _refused(given: teacher.Config) -> str:
    if not given.has_checkpoint:
        return (
            "a student starts from an OpenNMT-py checkpoint (teacher.kind = 'train' or 'opennmt', or 'ctranslate2' "
            f"with teacher.restore_checkpoint = true), and teacher.kind is {given.kind!r}: it has none"
        )
    return "a decoder-only teacher has no encoder" if given.architecture == "decoder-only" or given.prompt else ""
