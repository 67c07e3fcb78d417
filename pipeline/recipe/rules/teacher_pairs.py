"""Language pairs that teachers are for, against those of the corpus: is each one there, and has each one a teacher?"""

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

from pydantic import BaseModel

from data.errors import DataError, ModelError
from data.model_folder import load_teacher_info
from data.teachers import section_of, teacher_nodes
from pipeline.recipe.faults import did_you_mean
from pipeline.recipe.rules.language import pairs_of_corpus
from stages.corpus import stage as corpus
from stages.corpus.readers.sources import is_parallel
from stages.given import stage as given_teacher
from stages.pool import stage as pool
from stages.select import stage as select
from stages.student import stage as student
from stages.student.further_config import pairs_of
from stages.teacher import stage as teacher
from stages.training.data_config import kinds_of

Teacher = teacher.Config | given_teacher.Config


def teacher_pair_faults(configs: Mapping[str, BaseModel]) -> Iterator[str]:
    """A line for each entry that is no pair of the recipe's, and for pairs that nothing is learned of."""
    texts = configs.get("corpus")
    if not isinstance(texts, corpus.Config):
        return
    further = _pairs_of_datasets(configs)
    named = {name: configs[node] for name, node in teacher_nodes(configs).items()}
    teachers = {name: one for name, one in named.items() if isinstance(one, (teacher.Config, given_teacher.Config))}
    unknown = [fault for name, given in teachers.items() for fault in _unknown(name, given, texts, further)]
    yield from unknown
    pooled = configs.get("pool")
    if not unknown and not (isinstance(pooled, pool.Config) and set(pooled.teachers) - teachers.keys()):
        yield from _without_teacher(teachers, texts, further or (), configs)


def _pairs_of_datasets(configs: Mapping[str, BaseModel]) -> Collection[str] | None:
    """Of the student's further datasets; None where one cannot be read, which is told of elsewhere."""
    learner = configs.get("student")
    try:
        return {str(pair) for pair in pairs_of(learner.datasets)} if isinstance(learner, student.Config) else ()
    except (DataError, OSError):
        return None


def _unknown(name: str, given: Teacher, texts: corpus.Config, further: Collection[str] | None) -> Iterator[str]:
    """A test set alone may have a pair, of which a teacher is heard but not learned from."""
    key = f"{section_of(name)}.pairs"
    known = {*pairs_of_corpus(texts), *pairs_of_corpus(texts, [*texts.test_sets, *texts.valid_sets]), *(further or ())}
    if further is not None and (wrong := [pair for pair in given.pairs if pair not in known]):
        told = ", ".join(f"{pair!r} is no language pair of the corpus{did_you_mean(pair, known)}" for pair in wrong)
        yield f"{key}: {told} (the corpus has {', '.join(sorted(known))})"
        return
    parallel = pairs_of_corpus(texts, [source for source in texts.sources if is_parallel(source)])
    if given.kind == "train" and given.pairs and not set(given.pairs) & set(parallel):
        yield (
            f"{key}: no source of the corpus has references in {', '.join(given.pairs)}, so there is nothing to train "
            f"this teacher on; it has them in {', '.join(parallel) or 'no pair'}"
        )


def _without_teacher(
    teachers: Mapping[str, Teacher],
    texts: corpus.Config,
    further: Collection[str],
    configs: Mapping[str, BaseModel],
) -> Iterator[str]:
    """Pairs that no teacher is for, where neither references nor another dataset are learned from in its place."""
    served = [_served(given) for given in teachers.values()]
    there = pairs_of_corpus(texts)
    if not served or any(not pairs for pairs in served):
        return
    alone = [pair for pair in there if not any(pair in pairs for pairs in served)]
    key = ", ".join(f"{section_of(name)}.pairs" for name in teachers)
    if alone == there and not further:
        yield f"{key}: no teacher is for {', '.join(there)}, which is all that the corpus has: nothing is distilled"
    elif (lost := [pair for pair in alone if pair not in further]) and not _learns_references(configs):
        yield (
            f"{key}: no teacher is for {', '.join(lost)}, which the corpus has: its rows are translated by none, and "
            "their references are not learned from; name it in the pairs of one, take its sources out of the corpus, "
            "or learn from references too: student.data = {hypothesis = 0.8, reference = 0.2}, or select.metric = "
            "'reference'"
        )


def _served(given: Teacher) -> Collection[str]:
    """What it is for, as the recipe says it or a folder of Potstill's; none: all, as far as is known."""
    if given.pairs or given.kind != "ctranslate2" or given.path is None:
        return given.pairs
    try:
        return load_teacher_info(Path(given.path)).pairs
    except ModelError:
        return ()


def _learns_references(configs: Mapping[str, BaseModel]) -> bool:
    """Also where that is not known, as a section is not there."""
    chosen, learner = configs.get("select"), configs.get("student")
    if not isinstance(chosen, select.Config) or not isinstance(learner, student.Config):
        return True
    return chosen.metric == "reference" or any("reference" in kinds_of(data) for _, data, _ in learner.course())
