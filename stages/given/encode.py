"""decode, of a teacher that is given: its translations as n-best lists, in the tokenizer's subwords."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel, ConfigDict

from data import schema
from data.artifact import Artifact
from data.ids import normalise
from data.model_folder import read_vocabulary
from data.runtime import Runtime
from data.teachers import teacher_of
from stages.text.tokenizer import Tokenizer, load_tokenizer
from stages.training.vocabulary import SPECIALS, UNKNOWN

VERSION = "1"
READS = {"given": ("texts", "scores", "tokens")}
RESOURCES = ("teacher", "tokenizer")
LIBRARIES = ("sentencepiece",)
SCHEMA = schema.NBEST


class Config(BaseModel):
    """It has no options: what stands in [decode] is for teachers that are asked."""

    model_config = ConfigDict(extra="ignore", frozen=True)


@dataclass(frozen=True)
class Resources:
    """The teacher's name, the tokenizer, and the tokens that a target may have."""

    name: str
    tokenizer: Tokenizer
    vocabulary: frozenset[str]


def load(config: Config, artifacts: Mapping[str, Artifact], runtime: Runtime) -> Resources:
    """Of the teacher no more than its vocabulary."""
    teacher = artifacts["teacher"]
    vocabulary = frozenset(read_vocabulary(teacher.path(), "target")) - set(SPECIALS)
    return Resources(teacher_of(teacher.node), load_tokenizer(artifacts["tokenizer"].path()), vocabulary)


def run(table: pa.Table, config: Config, resources: Resources) -> pa.Table:
    """NBEST for rows of given translations, in their order; a row without one is untranslated, as decode has it.

    Tokens that were given stay where all are known and spell the text. Else the tokenizer splits the text anew, and
    what the vocabulary lacks is <unk>, which measure counts and filter rejects.
    """
    rows: list[list[str]] = table.column("texts").to_pylist()
    texts = [text for row in rows for text in row]
    given = [tokens for row in table.column("tokens").to_pylist() for tokens in row]
    scores = [score for row in table.column("scores").to_pylist() for score in row]
    encoded, notes = _encoded(texts, given, resources)
    entries = iter(
        {"tokens": tokens, "text": text, "score": score, "teacher": resources.name}
        for tokens, text, score in zip(encoded, texts, scores, strict=True)
    )
    nothing = {"tokens": [], "text": "", "score": schema.UNTRANSLATED_SCORE, "teacher": resources.name}
    lists: list[list[dict[str, Any]]] = [[next(entries) for _ in row] or [nothing] for row in rows]
    column = pa.array(lists, SCHEMA.field("hypotheses").type)
    noted = SCHEMA.with_metadata({schema.NOTES_KEY: json.dumps(notes).encode()})
    return pa.Table.from_arrays([table.column("id"), column], schema=noted)


def count(table: pa.Table) -> dict[str, int | float]:
    """Hypotheses and their tokens; sources without one; texts whose tokens were given and not taken; unknown tokens."""
    flat = pc.list_flatten(table.column("hypotheses").combine_chunks())
    tokens = pc.sum(pc.list_value_length(pc.struct_field(flat, "tokens"))).as_py()
    untranslated = pc.sum(
        pc.equal(pc.struct_field(flat, "score"), pa.scalar(schema.UNTRANSLATED_SCORE, pa.float32()))
    ).as_py()
    notes: dict[str, int] = json.loads((table.schema.metadata or {}).get(schema.NOTES_KEY, b"{}"))
    return {"hypotheses": len(flat), "tokens": tokens or 0, "untranslated": untranslated or 0, **notes}


def _encoded(
    texts: Sequence[str], given: Sequence[list[str] | None], resources: Resources
) -> tuple[list[list[str]], dict[str, int]]:
    """The tokens of each text, and what became of those that were given."""
    known, tokenizer = resources.vocabulary, resources.tokenizer
    asked = [place for place, tokens in enumerate(given) if tokens and known.issuperset(tokens)]
    spelt = tokenizer.decode_target([given[place] or [] for place in asked])
    kept = {
        place: given[place] or [] for place, text in zip(asked, spelt, strict=True) if normalise(text) == texts[place]
    }
    anew = [place for place in range(len(texts)) if place not in kept]
    found = dict(zip(anew, tokenizer.encode_target([texts[place] for place in anew]), strict=True))
    unknown = sum(token not in known for tokens in found.values() for token in tokens)
    split = {place: [token if token in known else UNKNOWN for token in tokens] for place, tokens in found.items()}
    others = sum(tokens is not None for tokens in given) - len(kept)
    every = kept | split
    return [every[place] for place in range(len(texts))], {"tokens_not_taken": others, "unknown_tokens": unknown}
