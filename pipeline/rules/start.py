"""A student that starts from its teacher: is there a checkpoint to start from, and do the shapes fit?"""

from collections.abc import Iterator, Mapping

from pydantic import BaseModel

from stages import student, teacher


def start_faults(configs: Mapping[str, BaseModel]) -> Iterator[str]:
    """A line for each; of a teacher that is not trained here, the shape is known only when it is read."""
    given = configs.get("teacher")
    known = given if isinstance(given, teacher.Config) else None
    for node in ("student", "baseline"):
        learner = configs.get(node)
        if not isinstance(learner, student.Config) or learner.start is None:
            continue
        if known is not None and (refused := _refused(known)):
            yield f"{node}.start: {refused}; leave [{node}.start] out, or take a teacher that has"
            continue
        shape = known.model if known is not None and known.kind == "train" else None
        yield from (f"{node}.{fault}" for fault in learner.start.faults(learner.model, shape))


def _refused(given: teacher.Config) -> str:
    if not given.has_checkpoint:
        return (
            "a student starts from an OpenNMT-py checkpoint (teacher.kind = 'train' or 'opennmt'), and teacher.kind is "
            f"{given.kind!r}: it has none"
        )
    return "a decoder-only teacher has no encoder" if given.architecture == "decoder-only" or given.prompt else ""
