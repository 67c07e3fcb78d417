"""What of an objective does not fit the models: told before anything is trained, as early as a model is known."""

from collections.abc import Iterable, Iterator

from stages.training.objective.config import ObjectiveConfig
from stages.training.objective.layers import Shape
from stages.training.objective.online_config import NamedTerm, RelationTerm


def online_faults(objective: ObjectiveConfig, student: Shape, teacher: Shape | None = None) -> list[str]:
    """A line for each term that does not fit, beginning with its key; the teacher's part where it is known."""
    return [fault for named in objective.online_terms() for fault in _term_faults(named, student, teacher)]


def _term_faults(named: NamedTerm, student: Shape, teacher: Shape | None) -> Iterator[str]:
    term = named.term
    if not isinstance(term.layers, str):
        ours, theirs = zip(*term.layers, strict=True)
        yield from _missing(named, "student", ours, student)
        if teacher is not None:
            yield from _missing(named, "teacher", theirs, teacher)
    if isinstance(term, RelationTerm):
        heads = term.heads or student.heads
        widths = {"student": student.width, **({"teacher": teacher.width} if teacher else {})}
        for model, width in widths.items():
            if width % heads:
                yield (
                    f"{named.key}.heads: the {model}'s width {width} does not divide into {heads} relation heads; "
                    "choose a divisor of both widths"
                )


def _missing(named: NamedTerm, model: str, layers: Iterable[int], shape: Shape) -> Iterator[str]:
    stack = named.term.stack
    there = shape.layers(stack)
    for layer in dict.fromkeys(layers):
        if layer > there:
            yield f"{named.key}.layers: the {model}'s {stack} has {there} layers, and layer {layer} is asked for"
