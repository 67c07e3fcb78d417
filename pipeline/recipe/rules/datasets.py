"""Further datasets of a student against the recipe: their languages, and what their soft targets hold."""

from collections.abc import Iterator, Mapping

from pydantic import BaseModel

from data.errors import DataError
from data.soft_targets import SoftTargetFormat
from pipeline.recipe.rules.language import pairs_of_corpus
from pipeline.recipe.rules.soft_targets import soft_target_terms
from stages.corpus import stage as corpus
from stages.student import stage as student
from stages.student.further_config import DatasetConfig, pairs_of
from stages.student.further_rows import open_dataset
from stages.training.objective.config import SoftTargetTerm
from stages.training.schedules import ends


def dataset_faults(configs: Mapping[str, BaseModel]) -> Iterator[str]:
    """A line for each; a folder that holds no dataset is told of by the stage student."""
    learner, texts = configs.get("student"), configs.get("corpus")
    if not isinstance(learner, student.Config):
        return
    for number, one in enumerate(learner.datasets):
        try:
            pairs, kept = {str(pair) for pair in pairs_of([one])}, _format(one)
        except (DataError, OSError):
            continue
        name = f"student.datasets[{number}]"
        if isinstance(texts, corpus.Config) and learner.languages is None and pairs - set(pairs_of_corpus(texts)):
            yield (
                f"{name}: has rows of {', '.join(sorted(pairs))}, and the corpus of "
                f"{', '.join(pairs_of_corpus(texts))}: without tags the student cannot know into which language to "
                "translate; add a section [student.languages], with tags = 'none' if it needs none"
            )
        if learner.languages and learner.languages.stop_distilling and not _of_references(one):
            yield (
                f"student.languages.stop_distilling: the targets of {name} are hypotheses, which a pair in which the "
                "student is better than the teacher would go on learning, all the more; leave it out, or make that "
                "dataset with select.metric = 'reference'"
            )
        if kept is not None and kept.mode == "none":
            yield from (
                f"{key}.weight: {name} has no soft targets, its translations were given without; set it to 0, or leave "
                "that dataset out"
                for key, _ in soft_target_terms(learner)
            )
        elif kept is not None:
            yield from (f"{key}.temperature: {_lacks(term, kept, name)}" for key, term in _beyond(learner, kept))


def _format(one: DatasetConfig) -> SoftTargetFormat | None:
    artifact = open_dataset(one)
    names = artifact.shard_names()
    return SoftTargetFormat.of(artifact.read_shard(names[0], ["id"]).schema) if names else None


def _of_references(one: DatasetConfig) -> bool:
    """Whether targets are references where there are any; as the first shard, a random sample, has it."""
    artifact = open_dataset(one)
    shown = [artifact.read_shard(name, ["metric"]) for name in artifact.shard_names()[:1]]
    return all("reference" in table["metric"].to_pylist() for table in shown)


def _beyond(learner: student.Config, kept: SoftTargetFormat) -> Iterator[tuple[str, SoftTargetTerm]]:
    for key, term in soft_target_terms(learner):
        sampled = kept.mode == "sampled" and ends(term.temperature) != (1.0, 1.0)
        if sampled or set(term.exact_temperatures()) - set(kept.temperatures):
            yield key, term


def _lacks(term: SoftTargetTerm, kept: SoftTargetFormat, name: str) -> str:
    if kept.mode == "sampled":
        return f"the soft targets of {name} were drawn at temperature 1 and estimate no other; set it to 1"
    wanted = ", ".join(f"{each:g}" for each in term.exact_temperatures())
    stored = ", ".join(f"{each:g}" for each in (1.0, *kept.temperatures))
    return (
        f"{wanted} is asked for exactly, and the soft targets of {name} are exact at {stored}: set tempering to "
        "'buckets' or missing_mass to 'renormalise', or make that dataset with it in score.temperatures"
    )
