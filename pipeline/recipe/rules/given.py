"""What a recipe asks of a teacher that is given: there is no model that could be asked for more."""

from collections.abc import Iterator, Mapping, Sequence

from pydantic import BaseModel

from data.teachers import FIRST, node_of, section_of, teacher_nodes
from pipeline.recipe.rules.soft_targets import soft_target_terms
from stages.evaluate import stage as evaluate
from stages.filter import stage as filter
from stages.given import stage as given
from stages.score import stage as score
from stages.select import stage as select
from stages.student import stage as student
from stages.tokenizer import stage as tokenizer
from stages.training.schedules import always_zero

Configs = Mapping[str, BaseModel]
_NO_MODEL = "its translations are given, so there is no model"
# What somebody may ask of it whose work is to compute them, and of nobody else.
_OF_BACKENDS = ("backend", "precision", "max_batch_tokens")


def given_teacher_faults(configs: Configs) -> Iterator[str]:
    """A line for each; none where all teachers are models."""
    named = [name for name, node in teacher_nodes(configs).items() if isinstance(configs[node], given.Config)]
    if not named:
        return
    first = configs.get(FIRST)
    if isinstance(first, given.Config):
        yield from _tokenizer(configs)
        yield from _student(configs)
        yield from _soft_targets(configs, first)
    scoring = [name for name in named if node_of("score", name) in configs]
    yield from _scoring(configs, scoring)
    yield from _selection(configs, named)
    yield from _evaluation(configs, named)
    for node in ("student", "baseline"):
        learner = configs.get(node)
        if isinstance(learner, student.Config) and learner.languages and learner.languages.stop_distilling:
            yield (
                f"{node}.languages.stop_distilling: it compares the student's cross-entropy with that of the teacher, "
                f"and of {_sections(named)} none can be had: {_NO_MODEL}; leave it out"
            )


def _tokenizer(configs: Configs) -> Iterator[str]:
    chosen = configs.get("tokenizer")
    if not isinstance(chosen, tokenizer.Config) or chosen.kind in ("train", "file"):
        return
    lacks = "[teacher] has none" if chosen.kind == "teacher" else "words between spaces are no vocabulary"
    yield (
        f"tokenizer.kind: {chosen.kind!r}: {lacks}: {_NO_MODEL}; set it to 'train', or to 'file' with a SentencePiece "
        "model, such as that of the model that made them"
    )


def _student(configs: Configs) -> Iterator[str]:
    for node in ("student", "baseline"):
        learner = configs.get(node)
        if not isinstance(learner, student.Config):
            continue
        if learner.start is not None:
            yield f"{node}.start: [teacher] has no weights to start from: {_NO_MODEL}; leave [{node}.start] out"
        for number, (_, _, objective) in enumerate(learner.course()):
            place = f"{node}.objective" if number == 0 else f"{node}.phases[{number - 1}].objective"
            for named in (one for one in objective.online_terms() if not always_zero(one.term.weight)):
                yield (f"{place}.{named.key}: compares the student with a teacher in memory: {_NO_MODEL}; leave it out")


def _soft_targets(configs: Configs, first: given.Config) -> Iterator[str]:
    """Of a first teacher: where it gives none, nothing may ask for them, nor bound what follows from them."""
    learner, chosen = configs.get("student"), configs.get("select")
    yield from _bounds(configs, first)
    if first.soft_targets:
        if isinstance(chosen, select.Config) and chosen.metric == "reference":
            yield (
                "teacher.soft_targets: the log-probabilities are of what is given, and select.metric = 'reference' "
                "takes another target; set it to false, or select.metric to 'chrf'"
            )
        return
    if isinstance(learner, student.Config):
        for key, _ in soft_target_terms(learner):
            yield (
                f"{key}.weight: [teacher] is given without log-probabilities, so there are no soft targets; set it to "
                "0, or teacher.soft_targets = true where the file has log_probs"
            )


def _bounds(configs: Configs, first: given.Config) -> Iterator[str]:
    """Rules for what is not known, as the recipe sets them; of several teachers' mean something always is."""
    judged = configs.get("filter")
    if not isinstance(judged, filter.Config) or "fuse" in configs:
        return
    for name in ("mean_entropy",) if first.soft_targets else ("log_prob_per_token", "mean_entropy"):
        if name in judged.rules.model_fields_set and getattr(judged.rules, name) != filter.Rule():
            yield f"filter.rules.{name}: is not known of a [teacher] that is given; leave it out"


def _scoring(configs: Configs, scoring: Sequence[str]) -> Iterator[str]:
    """What [score] may not ask for where some of what it stores is given."""
    stored = configs.get("score")
    if not scoring or not isinstance(stored, score.Config):
        return
    told = _sections(scoring)
    if stored.mode != "topk":
        yield f"score.mode: {stored.mode!r}: {told} gives the most probable entries; leave it out"
    if stored.temperatures:
        yield f"score.temperatures: {told} gives the mass of the rest at temperature 1 alone; leave it out"
    if len(scoring) == sum(name == "score" or name.startswith("score_") for name in configs):
        for name in sorted(set(_OF_BACKENDS) & stored.model_fields_set):
            yield f"score.{name}: nothing is computed, as the log-probabilities of {told} are given; leave it out"


def _selection(configs: Configs, named: Sequence[str]) -> Iterator[str]:
    chosen = configs.get("select")
    if not isinstance(chosen, select.Config) or "pool" not in configs:
        return
    advice = f"those of {_sections(named)} are its own, and not to be compared with others'"
    if chosen.metric == "score":
        yield f"select.metric: 'score' compares the scores of all teachers, and {advice}; set it to 'mbr-chrf'"
    if chosen.fallback == "score":
        yield f"select.fallback: 'score' compares the scores of all teachers, and {advice}; set it to 'mbr-chrf'"


def _evaluation(configs: Configs, named: Sequence[str]) -> Iterator[str]:
    compared = configs.get("evaluate")
    if isinstance(compared, evaluate.Config) and compared.attribution and FIRST in named:
        yield f"evaluate.attribution: it asks the teacher for n-best lists, and {_NO_MODEL}; leave it out"


def _sections(names: Sequence[str]) -> str:
    return ", ".join(f"[{section_of(name)}]" for name in names)
