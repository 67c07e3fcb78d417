"""Terms of an objective that need a teacher in memory: is there one, and do the layers exist that they compare?"""

from collections.abc import Iterator, Mapping, Sequence

from pydantic import BaseModel

from data.language_tags import is_tagged, source_templates
from pipeline.recipe.rules.teacher import known_shape
from stages.student import stage as student
from stages.teacher import stage as teacher
from stages.training.languages_config import LanguagesConfig
from stages.training.objective.config import ObjectiveConfig
from stages.training.objective.layers import Shape
from stages.training.online.faults import online_faults
from stages.training.schedules import always_zero

_METHODS = {
    "features": "feature distillation",
    "attention": "attention distillation",
    "relations": "relation distillation",
    "sentences": "distillation of relations between sentences",
    "contrastive": "contrastive distillation",
}


def online_term_faults(configs: Mapping[str, BaseModel]) -> Iterator[str]:
    """A line for each; of a teacher that is converted here, the shape is known only when it is read."""
    given = configs.get("teacher")
    known = given if isinstance(given, teacher.Config) else None
    found = known_shape(known)
    shape = Shape.of(found) if found is not None else None
    for node in ("student", "baseline"):
        learner = configs.get(node)
        if not isinstance(learner, student.Config):
            continue
        for key, objective in _objectives(learner):
            if known is not None and not known.has_checkpoint:
                yield from (f"{node}.{key}.{fault}" for fault in _no_pytorch_teacher(objective, known.kind))
            yield from (f"{node}.{key}.{fault}" for fault in online_faults(objective, Shape.of(learner.model), shape))
        if known is not None and any(each.needs_online_teacher() for _, each in _objectives(learner)):
            yield from _not_the_students_batches(node, learner, known)


def _objectives(learner: student.Config) -> Iterator[tuple[str, ObjectiveConfig]]:
    yield "objective", learner.objective
    for number, phase in enumerate(learner.phases):
        if phase.objective is not None:
            yield f"phases[{number}].objective", phase.objective


def _not_the_students_batches(node: str, learner: student.Config, known: teacher.Config) -> Iterator[str]:
    """The teacher in memory reads the student's batches as they are, tags included, and nothing else."""
    if not known.has_checkpoint or known.prompt is not None:
        return
    others = [name for name in ("source_suffix", "target_prefix") if getattr(known, name)]
    if known.source_prefix and not is_tagged(known.source_prefix):
        others.append("source_prefix")
    for name in others:
        yield (
            f"teacher.{name}: with these tokens around each sentence the teacher's positions are not the student's, "
            f"and what {node}.objective compares in memory are positions; leave out its terms that need the teacher in "
            "memory, or take a teacher without such tokens"
        )
    if others:
        return
    if known.kind == "train" and known.source_prefix is None:
        yield from _other_tags(node, learner.languages, known.languages)
    else:
        yield from _other_templates(node, learner.languages, known.source_prefix or ())


def _other_templates(node: str, ours: LanguagesConfig | None, theirs: Sequence[str]) -> Iterator[str]:
    """The same of a teacher whose tags only teacher.source_prefix tells."""
    own = source_templates(ours.tags if ours else "none")
    if own != tuple(theirs):
        yield (
            f"teacher.source_prefix: the teacher reads {_told(theirs)} before each source, and the student, whose "
            f"batches it has to read for {node}.objective, {_told(own)}; set {node}.languages.tags to what the teacher "
            "has, or leave out the terms that compare them in memory"
        )


def _told(tags: Sequence[str]) -> str:
    return " ".join(tags) or "no tag"


def _other_tags(node: str, ours: LanguagesConfig | None, theirs: LanguagesConfig | None) -> Iterator[str]:
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
    for named in objective.online_terms():
        if not always_zero(named.term.weight):
            yield (
                f"{named.key}: {_METHODS[named.key.partition('[')[0]]} needs a PyTorch teacher; this recipe {only}: "
                "train one here (teacher.kind = 'train'), name an OpenNMT-py checkpoint (teacher.kind = 'opennmt'), "
                "have that of a CTranslate2 folder put back (teacher.restore_checkpoint = true), or leave the term out"
            )
