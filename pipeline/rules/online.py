"""Terms of an objective that need a teacher in memory: is there one, and do the layers exist that they compare?"""

from collections.abc import Iterator, Mapping

from pydantic import BaseModel

from stages import student, teacher
from stages.training.languages_config import LanguagesConfig
from stages.training.objective_config import ObjectiveConfig
from stages.training.online.faults import online_faults
from stages.training.online.layers import Shape
from stages.training.online.named import named_terms
from stages.training.schedules import always_zero

_METHODS = {
    "features": "feature distillation",
    "attention": "attention distillation",
    "relations": "relation distillation",
    "sentences": "distillation of relations between sentences",
    "contrastive": "contrastive distillation",
}


def online_term_faults(configs: Mapping[str, BaseModel]) -> Iterator[str]:
    """A line for each; of a teacher that is not trained here, the shape is known only when it is read."""
    given = configs.get("teacher")
    known = given if isinstance(given, teacher.Config) else None
    trained = known is not None and known.kind == "train"
    shape = Shape.of(known.model) if known is not None and trained else None
    for node in ("student", "baseline"):
        learner = configs.get(node)
        if not isinstance(learner, student.Config):
            continue
        for key, objective in _objectives(learner):
            if known is not None and not known.has_checkpoint:
                yield from (f"{node}.{key}.{fault}" for fault in _no_pytorch_teacher(objective, known.kind))
            yield from (f"{node}.{key}.{fault}" for fault in online_faults(objective, Shape.of(learner.model), shape))
        if known is not None and trained and any(each.needs_online_teacher() for _, each in _objectives(learner)):
            yield from _other_tags(node, learner.languages, known.languages)


def _objectives(learner: student.Config) -> Iterator[tuple[str, ObjectiveConfig]]:
    yield "objective", learner.objective
    for number, phase in enumerate(learner.phases):
        if phase.objective is not None:
            yield f"phases[{number}].objective", phase.objective


def _other_tags(node: str, ours: LanguagesConfig | None, theirs: LanguagesConfig | None) -> Iterator[str]:
    """The teacher in memory reads the student's batches as they are, tags included."""
    own, others = (each.tags if each else "none" for each in (ours, theirs))
    if own != others:
        where = f"{node}.languages.tags" if ours else f"{node}.languages"
        yield (
            f"{where}: the student's language tags are {own!r}, and {others!r} those of the teacher, which has to read "
            f"the same batches for the objective; set teacher.languages.tags and {node}.languages.tags alike, or leave "
            "out the terms that compare them in memory"
        )


def _no_pytorch_teacher(objective: ObjectiveConfig, kind: str) -> Iterator[str]:
    only = "names only a CTranslate2 folder" if kind == "ctranslate2" else f"names only one of kind {kind!r}"
    for named in named_terms(objective):
        if not always_zero(named.term.weight):
            yield (
                f"{named.key}: {_METHODS[named.key.partition('[')[0]]} needs a PyTorch teacher; this recipe {only}: "
                "train one here (teacher.kind = 'train'), name an OpenNMT-py checkpoint (teacher.kind = 'opennmt'), "
                "or leave the term out"
            )
