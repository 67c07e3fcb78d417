"""Noise of the corpus, and who reads it: what would compare, or join, rows that are not the same."""

from collections.abc import Iterator, Mapping

from pydantic import BaseModel

from stages.corpus import stage as corpus
from stages.student import stage as student


def noise_faults(configs: Mapping[str, BaseModel]) -> Iterator[str]:
    """Faults of [corpus.noise] against student and teachers; none without it."""
    source = configs.get("corpus")
    if not isinstance(source, corpus.Config) or source.noise is None:
        return
    if source.noise.read_by == "student":
        learner = configs.get("student")
        if isinstance(learner, student.Config) and any(term.needs_online_teacher() for _, _, term in learner.course()):
            yield (
                "corpus.noise.read_by: 'student' keeps noise from the teacher, but the student's objective compares "
                "both at work on the same tokens, those with noise: set it to 'teacher', or leave these terms out"
            )
        return
    for node, config in configs.items():
        if node.partition("_")[0] == "teacher" and getattr(config, "kind", "") == "given":
            yield (
                f"corpus.noise.read_by: 'teacher' has sources translated with their noise, but the translations of "
                f"{node} are given, and of clean sources: set it to 'student'"
            )
