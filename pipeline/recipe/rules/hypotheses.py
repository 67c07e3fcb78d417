"""A student that draws from several hypotheses: are there several, and do their weights mean something?"""

from collections.abc import Iterator, Mapping

from pydantic import BaseModel

from stages.decode import stage as decode
from stages.filter import stage as filter
from stages.select import stage as select
from stages.student import stage as student
from stages.training.data_config import kinds_of


def nbest_faults(configs: Mapping[str, BaseModel]) -> Iterator[str]:
    """Faults of the student against decode and select, as far as their sections are there."""
    learner, search, chosen = configs.get("student"), configs.get("decode"), configs.get("select")
    if not isinstance(learner, student.Config):
        return
    if not any("nbest" in kinds_of(data) for _, data, _ in learner.course()):
        if learner.nbest.model_fields_set:
            yield "student.nbest: no phase has data = 'nbest', which it is for; set student.data to it, or leave it out"
        return
    if isinstance(search, decode.Config) and search.num_hypotheses == 1:
        yield (
            "student.data: 'nbest' draws from several hypotheses a source, and decode.num_hypotheses is 1: set it to "
            "more, or data to 'hypothesis'"
        )
    if isinstance(chosen, select.Config) and learner.nbest.weights == "utility":
        yield from _no_utility(chosen)


def _no_utility(chosen: select.Config) -> Iterator[str]:
    if chosen.metric == "score":
        yield (
            "student.nbest.weights: with select.metric = 'score' the utility is the score; set weights to 'score', or "
            "select.metric to 'mbr-chrf'"
        )
    elif chosen.metric != "mbr-chrf" and chosen.fallback == "score":
        yield (
            f"student.nbest.weights: with select.metric = {chosen.metric!r} and select.fallback = 'score' the utility "
            "is 0..100 where a row has a reference, and its score where not, and no temperature fits both; set "
            "select.fallback to 'mbr-chrf'"
        )


def length_faults(configs: Mapping[str, BaseModel]) -> Iterator[str]:
    """A line when the longest targets that pass are those that have no end; none where the rule was taken away."""
    search, policy = configs.get("decode"), configs.get("filter")
    if not isinstance(search, decode.Config) or not isinstance(policy, filter.Config):
        return
    longest = policy.rules.target_length.max
    if longest is not None and longest >= search.max_decoding_length:
        yield (
            f"filter.rules.target_length.max: {longest:g}, and decode cuts a hypothesis off after "
            f"decode.max_decoding_length = {search.max_decoding_length} tokens: such targets, which have no end, would "
            f"pass; set it to {search.max_decoding_length - 1} or less"
        )
