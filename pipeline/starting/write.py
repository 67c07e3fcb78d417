"""A commented recipe of the keys that matter."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.recipe.faults import OPEN
from pipeline.starting.teachers import Found
from pipeline.starting.texts import Look

_BY_CHRF = ("chrf", "nearest to the reference, where there is one")


@dataclass(frozen=True)
class Wanted:
    """What the recipe is made of."""

    source_language: str
    target_language: str
    corpora: Sequence[Look]
    test_sets: Sequence[Look]
    teacher: Found


def recipe_text(wanted: Wanted) -> str:
    """The TOML; what could not be known is marked, and no recipe with a mark is run."""
    given = wanted.teacher.keys["kind"] == "given"
    search = _given_search(wanted) if given else _search(wanted)
    return "\n".join([*_corpus(wanted), *_teacher(wanted.teacher), *search, *_rest(wanted, given=given)]) + "\n"


def _corpus(wanted: Wanted) -> Iterator[str]:
    yield "# Paths are relative to the folder in which potstill is started. All keys: docs/recipes.md."
    yield "[corpus]"
    yield f"source_language = {_toml(wanted.source_language)}"
    yield f"target_language = {_toml(wanted.target_language)}"
    if not wanted.test_sets:
        yield _with("test_fraction = 0.02", "held out by a hash of the source; or [[corpus.test_sets]]")
    taken: set[str] = set()
    for section, looks in (("sources", wanted.corpora), ("test_sets", wanted.test_sets)):
        for look in looks:
            yield ""
            yield f"[[corpus.{section}]]"
            yield f"kind = {_toml(look.given.keys['kind'])}"
            yield _with(f"name = {_toml(_name(look, section, taken))}", f"{look.lines:,} lines")
            yield from (f"{key} = {_toml(value)}" for key, value in look.given.keys.items() if key != "kind")
            yield from _open(look.faults)


def _teacher(found: Found) -> Iterator[str]:
    yield ""
    yield _with("[teacher]", found.note)
    yield from (f"{key} = {_toml(value)}" for key, value in found.keys.items())
    yield from _open(found.open)
    if found.prompt:
        yield ""
        yield _with("[teacher.prompt]", "template, examples, separator: docs/recipes.md")
        yield from (f"{key} = {_toml(value)}" for key, value in found.prompt.items())
    yield ""
    yield "[tokenizer]"
    told = "learns of the translations, too" if found.keys["kind"] == "given" else "the subwords that the teacher reads"
    yield _with(f"kind = {_toml(found.tokenizer['kind'])}", told)
    yield from (f"{key} = {_toml(value)}" for key, value in found.tokenizer.items() if key != "kind")


def _open(lines: Sequence[str]) -> Iterator[str]:
    """As a key, which no section has: a recipe is refused while it is there."""
    if lines:
        yield f"{OPEN} = ["
        yield from (f"  {_toml(line)}," for line in lines)
        yield "]"


def _given_search(wanted: Wanted) -> Iterator[str]:
    """Of several translations the one that is like the reference, or like the others."""
    yield ""
    yield "[select]"
    yield from _chosen_by(*(_BY_CHRF if _parallel(wanted) else ("mbr-chrf", "of several the one most like the others")))


def _parallel(wanted: Wanted) -> bool:
    return any(look.parallel for look in wanted.corpora)


def _chosen_by(metric: str, why: str) -> Iterator[str]:
    yield f"metric = {_toml(metric)}".ljust(38) + f"# {why}"


def _search(wanted: Wanted) -> Iterator[str]:
    yield ""
    yield "[decode]"
    yield "beam_size = 5"
    yield ""
    yield "[select]"
    yield from _chosen_by(*(_BY_CHRF if _parallel(wanted) else ("score", "the teacher's best")))
    yield ""
    yield "[score]"
    yield "k = 16                                # most probable entries kept of every position"


def _rest(wanted: Wanted, *, given: bool) -> Iterator[str]:
    parallel = _parallel(wanted)
    yield ""
    yield "[student]"
    if given:
        yield "objective.soft_targets.weight = 0     # or teacher.soft_targets = true, where the file has log_probs"
    if parallel:
        yield "data = {hypothesis = 0.6, reference = 0.4}"
    yield "[student.model]                       # a tenth of a usual teacher; see docs/quality.md"
    yield "encoder_layers = 3"
    yield "decoder_layers = 1"
    yield "width = 256"
    yield "feed_forward = 1024"
    yield "[student.optimiser]"
    yield "steps = 20000                         # `potstill estimate` says how long they take here"
    if parallel:
        yield ""
        yield "[baseline]                            # the same student on the references alone, to compare with"


def _with(line: str, told: str) -> str:
    return f"{line:37} # {told}" if told else line


def _name(look: Look, section: str, taken: set[str]) -> str:
    keys = look.given.keys
    path = Path(next(keys[key] for key in ("source_file", "file", "path") if key in keys))
    stem = "".join(sign if sign.isalnum() or sign in "._-" else "-" for sign in path.name.split(".")[0]) or "text"
    stem = f"test-{stem}" if section == "test_sets" else stem
    name, number = stem, 1
    while name in taken:
        number += 1
        name = f"{stem}-{number}"
    taken.add(name)
    return name


def _toml(value: object) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_key(str(key))} = {_toml(each)}" for key, each in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    # Every string of JSON is one of TOML.
    return json.dumps(value, ensure_ascii=False)


def _key(name: str) -> str:
    return name if name.replace("-", "").replace("_", "").isalnum() and name.isascii() else json.dumps(name)
