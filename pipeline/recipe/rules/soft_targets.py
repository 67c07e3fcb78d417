"""What score stores and what the student's objectives ask of it: do they go together?"""

from collections.abc import Iterator, Mapping

from pydantic import BaseModel

from stages.score import stage as score
from stages.student import stage as student
from stages.training.data_config import kinds_of
from stages.training.objective.config import SoftTargetTerm
from stages.training.schedules import ends

# What says how a tail is dealt with, of which sampled soft targets have none.
_OF_THE_TAIL = ("missing_mass", "tempering")


def soft_target_faults(configs: Mapping[str, BaseModel]) -> Iterator[str]:
    """Faults of the student against score, where both sections are there."""
    learner, stored = configs.get("student"), configs.get("score")
    if isinstance(learner, student.Config) and isinstance(stored, score.Config):
        for key, term in soft_target_terms(learner):
            faults = _of_sampled(term) if stored.mode == "sampled" else _of_topk(term, stored, "fuse" in configs)
            yield from (f"{key}.{fault}" for fault in faults)


def soft_target_terms(learner: student.Config) -> Iterator[tuple[str, SoftTargetTerm]]:
    """The soft-target terms that hold where there are soft targets, once each, with their keys."""
    seen: list[SoftTargetTerm] = []
    for number, (_, data, objective) in enumerate(learner.course()):
        term = objective.soft_targets
        if "hypothesis" not in kinds_of(data) or not objective.reads_soft_targets() or any(term is one for one in seen):
            continue
        seen.append(term)
        own = number > 0 and learner.phases[number - 1].objective is not None
        yield f"student.{f'phases[{number - 1}].' if own else ''}objective.soft_targets", term


def _of_sampled(term: SoftTargetTerm) -> Iterator[str]:
    for name in _OF_THE_TAIL:
        if name in term.model_fields_set:
            yield (
                f"{name}: score.mode is 'sampled', which leaves no mass out that could be dealt with: take it out, or "
                "set score.mode to 'topk'"
            )
    if ends(term.temperature) != (1.0, 1.0):
        yield (
            "temperature: score.mode is 'sampled', and what was drawn at temperature 1 estimates no other: set it to "
            "1, or score.mode to 'topk'"
        )


def _of_topk(term: SoftTargetTerm, stored: score.Config, fused: bool) -> Iterator[str]:
    if missing := [each for each in term.exact_temperatures() if each not in stored.temperatures]:
        wanted = ", ".join(f"{each:g}" for each in sorted({*stored.temperatures, *missing}))
        # The tail of a mean of several teachers is not known at another temperature.
        store = "set" if fused else f"set score.temperatures to [{wanted}], or"
        yield (
            f"temperature: {', '.join(f'{each:g}' for each in missing)} is exact only where score stores the mass of "
            f"the rest at it: {store} tempering to 'buckets', which tempers what was kept alone"
        )
