"""What a recipe of several language pairs lacks, or asks for in vain."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from pydantic import BaseModel

from data.errors import ModelError
from data.language_tags import is_tagged
from data.model_folder import load_teacher_info
from stages.corpus import stage as corpus
from stages.corpus.readers.sources import Source
from stages.select import stage as select
from stages.student import stage as student
from stages.teacher import stage as teacher
from stages.training.data_config import kinds_of


def language_faults(configs: Mapping[str, BaseModel]) -> Iterator[str]:
    """A line for each."""
    texts, given, chosen, learner = (configs.get(name) for name in ("corpus", "teacher", "select", "student"))
    if isinstance(texts, corpus.Config):
        # Of a pair that is tested alone nothing is learned: whoever is not told of it would take it for its own.
        pairs = pairs_of_corpus(texts, [*texts.sources, *texts.test_sets, *texts.valid_sets])
        if len(pairs) > 1:
            yield from _untold(pairs, configs)
    if isinstance(learner, student.Config) and learner.languages and learner.languages.stop_distilling:
        valid = texts.valid_fraction if isinstance(texts, corpus.Config) and not texts.valid_sets else 1.0
        known = given if isinstance(given, teacher.Config) else None
        found = [*_in_vain(learner, known, valid)]
        if isinstance(chosen, select.Config):
            found += _taught_on(learner, chosen.metric)
        yield from (f"student.languages.stop_distilling: {fault}" for fault in found)


def pairs_of_corpus(texts: corpus.Config, sources: Sequence[Source] | None = None) -> list[str]:
    """Language pairs that there is text for: of these sources, or by default of all that are trained on."""
    return sorted(
        {
            f"{source.source_language or texts.source_language}-{source.target_language or texts.target_language}"
            for source in (texts.sources if sources is None else sources)
        }
    )


def _untold(pairs: list[str], configs: Mapping[str, BaseModel]) -> Iterator[str]:
    several = f"the corpus has the language pairs {', '.join(pairs)}, test and valid sets included"
    learner = configs.get("student")
    if isinstance(learner, student.Config) and learner.languages is None:
        yield (
            f"student.languages: required, as {several}: without tags the student cannot know into which language to "
            "translate; add a section [student.languages], with tags = 'none' if it needs none"
        )
    for node, given in configs.items():
        if not isinstance(given, teacher.Config) or given.languages is not None:
            continue
        if given.kind != "train" and not given.pairs and not _asked_for_a_language(given):
            yield (
                f"{node}.pairs: required, as {several}, and nothing in [{node}] tells the model which one is wanted; "
                "name those that it is for, such as pairs = ['en-de'], or give it tags with {target} in them"
            )
        if given.kind == "train" and len(set(given.pairs) & set(pairs) if given.pairs else pairs) > 1:
            yield (
                f"{node}.languages: required with kind = 'train', as {several}; add a section [{node}.languages], or "
                f"set {node}.pairs to the one that this teacher is for"
            )


def _asked_for_a_language(given: teacher.Config) -> bool:
    """Whether it is told a row's languages; a folder of CTranslate2 may say so itself, as Potstill's do."""
    if any(is_tagged(each or ()) for each in (given.source_prefix, given.source_suffix, given.target_prefix)):
        return True
    if given.kind != "ctranslate2" or given.path is None:
        return False
    try:
        info = load_teacher_info(Path(given.path))
    except ModelError:
        return False
    return bool(info.pairs) or info.is_tagged()


def _in_vain(learner: student.Config, given: teacher.Config | None, valid_fraction: float) -> Iterator[str]:
    if not learner.distils():
        yield "no phase has soft targets or a teacher in memory, so there is nothing to stop; leave it out"
    if not learner.optimiser.validate_every:
        yield "it is judged when the student is validated; set student.optimiser.validate_every above 0"
    if not valid_fraction:
        yield "it is judged on the valid split; set corpus.valid_fraction above 0"
    if given is not None and (given.architecture == "decoder-only" or given.prompt is not None):
        yield "the cross-entropy of a decoder-only teacher is not computed; leave it out"


def _taught_on(learner: student.Config, metric: str) -> Iterator[str]:
    """A pair that is stopped learns from its targets alone, which must then not be the teacher's own words."""
    kinds = {kind for _, data, _ in learner.course() for kind in kinds_of(data)}
    stopped = "a pair in which the student is better than the teacher would go on learning the teacher's hypotheses"
    if "nbest" in kinds:
        yield f"{stopped}, all the more, from data = 'nbest'; set student.data to 'hypothesis', or leave it out"
    if "hypothesis" in kinds and metric != "reference":
        yield (
            f"{stopped}, all the more, from data = 'hypothesis' with select.metric = {metric!r}; set select.metric to "
            "'reference', which makes soft targets along the references, or leave it out"
        )
