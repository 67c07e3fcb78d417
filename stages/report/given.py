"""Teachers whose translations are given: what the page says of them."""

from collections.abc import Iterable, Mapping
from typing import Any

from data.teachers import given_nodes
from stages.presentation import figures


def given_notes(metrics: Mapping[str, Any]) -> Iterable[str]:
    """What is not in the table of teachers whose translations are given, and why."""
    for name, found in metrics.get("given_teachers", {}).items():
        words = "the teacher" if name == "teacher" else f"the teacher {name.removeprefix('teacher_')}"
        told, there = f" The translations of {words} were given, without a model", figures.count(found["translated"])
        if found["translated"] == found["of"]:
            yield f"{told}: it has no speed and no size."
        else:
            yield (
                f"{told}: it has no speed and no size, and no scores, as its file has {there} of the "
                f"{figures.plural(found['of'], 'test sentence')}."
            )


def joined_notes(metrics: Mapping[str, Any]) -> Iterable[str]:
    """What became of the files of teachers that are given."""
    for name in given_nodes(metrics["stages"]).values():
        found = metrics[name]
        train, strange = found["splits"].get("train", {"rows": 0, "translated": 0}), found["unmatched"]
        yield (
            f" Given are translations of {figures.count(train['translated'])} of {figures.count(train['rows'])} "
            f"training rows, out of {figures.plural(found['records'], 'record')}"
            + (f", of which {figures.count(strange)} are of no row of the corpus." if strange else ".")
        )
