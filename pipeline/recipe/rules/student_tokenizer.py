"""What a student with a tokenizer of its own cannot learn: all that is said about the teacher's subwords."""

from collections.abc import Iterator, Mapping

from pydantic import BaseModel

from stages.student import stage as student
from stages.tokenizer import stage as tokenizer
from stages.training.data_config import kinds_of

_ONLY_TEXT = "the student has a tokenizer of its own ([student_tokenizer]) and can learn from the teacher's texts alone"


def student_tokenizer_faults(configs: Mapping[str, BaseModel]) -> Iterator[str]:
    """A line for each; none where the student has the teacher's tokenizer."""
    own = configs.get("student_tokenizer")
    if not isinstance(own, tokenizer.Config):
        return
    if own.kind in {"teacher", "none"}:
        without = "is what the student has without this section" if own.kind == "teacher" else "knows no subwords"
        yield f"student_tokenizer.kind: {own.kind!r} {without}; set it to 'train' or 'file', or leave the section out"
    for node in ("student", "baseline"):
        learner = configs.get(node)
        if isinstance(learner, student.Config):
            yield from _of_teachers_tokens(node, learner)


def _of_teachers_tokens(node: str, learner: student.Config) -> Iterator[str]:
    for number, (_, data, objective) in enumerate(learner.course()):
        place = f"{node}.objective" if number == 0 else f"{node}.phases[{number - 1}].objective"
        if "hypothesis" in kinds_of(data) and objective.reads_soft_targets():
            yield f"{place}.soft_targets.weight: soft targets are of the teacher's subwords, but {_ONLY_TEXT}; set 0"
        if objective.needs_online_teacher():
            yield f"{place}: its terms compare positions of the teacher's subwords, but {_ONLY_TEXT}; leave them out"
    if learner.start is not None:
        yield f"{node}.start: the teacher's embeddings are of its own subwords, but {_ONLY_TEXT}; leave it out"
