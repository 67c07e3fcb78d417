"""decode: every source through the teacher's beam search; all hypotheses are kept, best first."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate

import pyarrow as pa
import pyarrow.compute as pc

from data import schema
from data.artifact import Artifact
from data.runtime import Runtime
from data.teachers import teacher_of
from stages.beam_search.batches import Batches
from stages.beam_search.calibration import read_calibration
from stages.beam_search.config import Config
from stages.beam_search.search import Hypothesis, Search, open_search
from stages.beam_search.shortlist import FILE as SHORTLIST
from stages.languages.directions import COLUMNS as LANGUAGES
from stages.languages.directions import is_for, rows_by_direction
from stages.loaded_model.model import TeacherModel, check_tokenizer, load_teacher
from stages.text.tokenizer import Tokenizer, load_tokenizer

__all__ = ["Config", "Resources", "count", "load", "run"]

VERSION = "3"
READS = {"corpus": ("source", *LANGUAGES)}
RESOURCES = ("teacher", "tokenizer", "calibrate")
LIBRARIES = ("ctranslate2", "sentencepiece")
SCHEMA = schema.NBEST
# A process decodes as many shards at a time as it has threads, with one model between them.
SHARES_MODEL = True

METADATA_KEY = b"potstill.decode"


@dataclass(frozen=True)
class Resources:
    """A loaded teacher with its name, its tokenizer, and the source tokens of a batch that suit it here."""

    name: str
    teacher: TeacherModel
    tokenizer: Tokenizer
    batch_tokens: int


@dataclass(frozen=True)
class _Translated:
    """An n-best list with its texts."""

    hypotheses: Sequence[Hypothesis]
    texts: Sequence[str]


_UNTRANSLATED = _Translated([Hypothesis([], schema.UNTRANSLATED_SCORE)], [""])


def load(config: Config, artifacts: Mapping[str, Artifact], runtime: Runtime) -> Resources:
    """Loads all; raises ModelError when the teacher cannot be loaded or asked, or has another tokenizer."""
    folder = artifacts["teacher"].path()
    tokenizer = load_tokenizer(artifacts["tokenizer"].path())
    check_tokenizer(tokenizer, folder)
    batch_tokens = config.max_batch_tokens or read_calibration(artifacts["calibrate"].path()).max_batch_tokens
    shortlist = artifacts["calibrate"].path() / SHORTLIST if config.shortlist else None
    teacher = load_teacher(folder, runtime, spread=True, shortlist=shortlist)
    open_search(teacher, tokenizer, config)  # what it cannot be asked is told here, before any shard
    return Resources(teacher_of(artifacts["teacher"].node), teacher, tokenizer, batch_tokens)


def run(table: pa.Table, config: Config, resources: Resources) -> pa.Table:
    """NBEST for rows of the corpus, one by one; how it was searched is in the schema's metadata.

    Batches depend on the shard and the run's calibration alone, so a second run gives the same bytes, unless memory
    runs out, which halves batches. Equal sources are translated once in each direction. A source without tokens, or
    with more than `max_source_tokens` or than the teacher has positions for, is not translated: its one hypothesis is
    empty and scores schema.UNTRANSLATED_SCORE. Neither is one of languages that the teacher is not for.
    """
    texts: list[str] = table.column("source").to_pylist()
    wanted = is_for(resources.teacher.info, table)
    found, notes = [_UNTRANSLATED] * len(texts), {"cut_off": 0, "repeated": 0, "batches_halved": 0}
    for direction, all_rows in rows_by_direction(resources.teacher.info, table):
        rows = [row for row in all_rows if wanted[row]]
        number = {text: number for number, text in enumerate(dict.fromkeys(texts[row] for row in rows))}
        search = open_search(resources.teacher.toward(direction), resources.tokenizer, config)
        translated, halved = _translate(list(number), search, resources)
        for row in rows:
            found[row] = translated[number[texts[row]]]
        notes["cut_off"] += sum(search.is_cut_off(one) for row in rows for one in found[row].hypotheses)
        notes["repeated"] += len(rows) - len(number)
        notes["batches_halved"] += halved
    column = _column(found, resources.name)
    metadata = _metadata(config, resources) | {schema.NOTES_KEY: json.dumps(notes).encode()}
    return pa.Table.from_arrays([table.column("id"), column], schema=SCHEMA.with_metadata(metadata))


def count(table: pa.Table) -> dict[str, int | float]:
    """Hypotheses, their tokens, and those cut off; sources not translated, or again an earlier one; batches halved."""
    hypotheses = pc.list_flatten(table.column("hypotheses").combine_chunks())
    tokens = pc.sum(pc.list_value_length(pc.struct_field(hypotheses, "tokens"))).as_py()
    untranslated = pc.sum(
        pc.equal(pc.struct_field(hypotheses, "score"), pa.scalar(schema.UNTRANSLATED_SCORE, pa.float32()))
    )
    notes: dict[str, int] = json.loads((table.schema.metadata or {}).get(schema.NOTES_KEY, b"{}"))
    return {"hypotheses": len(hypotheses), "tokens": tokens or 0, "untranslated": untranslated.as_py() or 0, **notes}


def _translate(texts: list[str], search: Search, resources: Resources) -> tuple[list[_Translated], int]:
    """Every text's n-best, and how often a batch was halved. Detokenises while the teacher is at the next batches."""
    sources = search.encode(texts)
    sizes = [(len(tokens),) for tokens in sources]
    asked = [row for row, (length,) in enumerate(sizes) if search.takes(length)]
    found = [_UNTRANSLATED] * len(texts)
    batches = Batches(
        asked,
        sizes,
        resources.batch_tokens,
        lambda rows: search.start([sources[row] for row in rows]),
    )
    for rows, results in batches:
        readable = iter(resources.tokenizer.decode_target([one.tokens for row in results for one in row]))
        for row, hypotheses in zip(rows, results, strict=True):
            found[row] = _Translated(hypotheses, [next(readable) for _ in hypotheses])
    return found, batches.halved


def _column(rows: Sequence[_Translated], teacher: str) -> pa.Array:
    hypotheses = [one for row in rows for one in row.hypotheses]
    kind = SCHEMA.field("hypotheses").type.value_type
    tokens = _lists(
        [one.tokens for one in hypotheses], pa.array([token for one in hypotheses for token in one.tokens], pa.string())
    )
    texts = pa.array([text for row in rows for text in row.texts], pa.string())
    scores = pa.array([one.score for one in hypotheses], pa.float32())
    names = pa.repeat(teacher, len(hypotheses))
    entries = pa.StructArray.from_arrays([tokens, texts, scores, names], fields=list(kind))
    return _lists([row.hypotheses for row in rows], entries).cast(SCHEMA.field("hypotheses").type)


def _lists(parts: Sequence[Sequence[object]], values: pa.Array) -> pa.Array:
    """Consecutive values as lists, each as long as its part."""
    offsets = pa.array(accumulate((len(part) for part in parts), initial=0), pa.int32())
    return pa.ListArray.from_arrays(offsets, values)


def _metadata(config: Config, resources: Resources) -> dict[bytes, bytes]:
    made = {
        "beam_size": config.beam_size,
        "length_penalty": config.length_penalty,
        "max_batch_tokens": resources.batch_tokens,
        "shortlist": config.shortlist,
        "compute_type": resources.teacher.engine.compute_type,
        "teacher_digest": resources.teacher.info.digest,
    }
    return {METADATA_KEY: json.dumps(made, sort_keys=True).encode()}
