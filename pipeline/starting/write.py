"""A commented recipe of the keys that matter."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.starting.teachers import Found
from pipeline.starting.texts import Look

OPEN = "TODO"


@dataclass(frozen=True)
class Wanted:
    """What the recipe is made of."""

    source_language: str
    target_language: str
    corpora: Sequence[Look]
    test_sets: Sequence[Look]
    teacher: Found


def recipe_text(wanted: Wanted) -> str:
    """The TOML; what could not be known is marked, so that nobody runs it unseen."""
    return "\n".join([*_corpus(wanted), *_teacher(wanted.teacher), *_rest(wanted)]) + "\n"


def _corpus(wanted: Wanted) -> Iterator[str]:
    yield "# Paths are relative to the folder in which potstill is started. All keys: docs/recipes.md."
    yield "[corpus]"
    yield f"source_language = {_toml(wanted.source_language)}"
    yield f"target_language = {_toml(wanted.target_language)}"
    if not wanted.test_sets:
        yield "test_fraction = 0.02                  # held out by a hash of the source; or [[corpus.test_sets]]"
    for section, looks in (("sources", wanted.corpora), ("test_sets", wanted.test_sets)):
        taken: set[str] = set()
        for look in looks:
            name = _name(look.source, taken)
            yield ""
            yield f"[[corpus.{section}]]"
            yield 'kind = "text"'
            yield f"name = {_toml(name if section == 'sources' else f'test-{name}')}"
            yield f"source_file = {_toml(str(look.source))}".ljust(38) + f"# {look.lines:,} lines"
            if look.target:
                yield f"target_file = {_toml(str(look.target))}"
            yield from (f"# {OPEN}: {fault}" for fault in look.faults)


def _teacher(found: Found) -> Iterator[str]:
    yield ""
    yield f"[teacher]                             # {found.note}" if found.note else "[teacher]"
    yield from (f"{key} = {_toml(value)}" for key, value in found.keys.items())
    yield from (f"# {OPEN}: {line}" for line in found.open)
    yield ""
    yield "[tokenizer]"
    yield 'kind = "teacher"                      # the teacher\'s own subwords, which soft targets need'


def _rest(wanted: Wanted) -> Iterator[str]:
    parallel = any(look.target for look in wanted.corpora)
    yield ""
    yield "[decode]"
    yield "beam_size = 5"
    yield ""
    yield "[select]"
    chosen, why = (
        ("chrf", "nearest to the reference, where there is one") if parallel else ("score", "the teacher's best")
    )
    yield f"metric = {_toml(chosen)}".ljust(38) + f"# {why}"
    yield ""
    yield "[score]"
    yield "k = 16                                # most probable entries kept of every position"
    yield ""
    yield "[student]"
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


def _name(path: Path, taken: set[str]) -> str:
    stem = "".join(sign if sign.isalnum() or sign in "._-" else "-" for sign in path.name.split(".")[0]) or "text"
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
