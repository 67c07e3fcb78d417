"""What student and baseline were trained on and how they differ beside it, in words, from their stages' configs."""

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import TypeAdapter

from stages.presentation import figures
from stages.training.data_config import Data, kinds_of

_TARGETS = {"hypothesis": "the dataset’s targets", "nbest": "the teacher’s n-best lists", "reference": "the references"}
# What a recipe may set anew for the baseline; all else is what distillation is.
_SHARED = ("languages", "model", "optimiser")
Stages = Mapping[str, Mapping[str, Any]]


def targets(role: str, stages: Stages) -> str:
    """All that a student was trained on in some step."""
    config, known = stages[role]["config"], TypeAdapter[Data](Data)
    course = [config["data"], *(phase["data"] for phase in config.get("phases", []) if phase.get("data"))]
    kinds = dict.fromkeys(kind for data in course for kind in kinds_of(known.validate_python(data)))
    return listed([_TARGETS[kind] for kind in kinds])


def same_student(stages: Stages) -> str:
    """What the baseline is to the student: `the same student`, with the keys in which it is another."""
    student, baseline = (stages[role]["config"] for role in ("student", "baseline"))
    others = [key for name in _SHARED for key in _differing(name, student.get(name), baseline.get(name))]
    return f"the same student, but for {listed(others)}," if others else "the same student"


def listed(words: list[str]) -> str:
    """One, two and three."""
    return " and ".join(filter(None, [", ".join(words[:-1]), *words[-1:]]))


def _differing(name: str, one: Any, other: Any) -> Iterator[str]:
    if one == other:
        return
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        for key in one:
            yield from _differing(f"{name}.{key}", one[key], other.get(key))
    else:
        yield name


def training_fact(role: str, trained: Mapping[str, Any]) -> str:
    """How long, on what, and which weights ship."""
    if "steps" not in trained:
        return ""
    rows = f" on {figures.count(trained['rows'])} rows" if trained.get("rows") else ""
    epochs = f", {trained['epochs']:.3g} times through," if trained.get("epochs") else ""
    return (
        f"The {role} was trained for {figures.plural(trained['steps'], 'step')}{rows}{epochs} "
        f"in {figures.duration(trained['timing']['seconds'])} ({trained.get('precision', 'float32')})."
        f"{_shipped(role, trained)}"
    )


def _shipped(role: str, trained: Mapping[str, Any]) -> str:
    """Which weights they are, where they are not the last."""
    validation = trained.get("validation", {})
    if not (steps := validation.get("shipped_steps")):
        return ""
    found = f"its best validation ({validation['metric'].replace('_', '-')} {validation['best']:.4g}) was after step "
    which = ", ".join(f"{step:,}" for step in steps)
    weights = f"of step {which}" if len(steps) == 1 else f"the mean of those of steps {which}"
    return f" Its weights are {weights}; {found}{validation['best_step']:,}."
