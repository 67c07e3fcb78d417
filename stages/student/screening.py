"""Which rows of a dataset share a text with a corpus's valid and test rows: found once, and kept beside the machine.

Texts are the same where the corpus takes them to be: `data.ids.text_digest`, which costs microseconds a text. Most rows
are seen not to be any by a key that Arrow computes of a whole column; only what is left is looked at one by one.
"""

import logging
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from data.artifact import Artifact
from data.errors import DataError, PotstillError
from data.fingerprint import mapping_digest
from data.ids import near, text_digest
from data.local import user_cache, write_atomically
from data.parquet import SUFFIX, decode, encode
from stages.languages.directions import COLUMNS as LANGUAGES
from stages.languages.directions import directions_of
from stages.noise.reading import read_by

# Raised when other rows are found.
VERSION = "1"
_LOG = logging.getLogger(__name__)
_PAIR = ("source", "reference")
_TEXTS = (*_PAIR, "target")
# Noise for the teacher may hide a text that is held out.
_CLEAN = ("clean_source", "clean_reference")
_HELD_OUT = ("valid", "test")
_FOUND = pa.schema([("shard", pa.string()), ("row", pa.int64()), *((name, pa.string()) for name in LANGUAGES)])
# Letters that a text keeps on its way to `near` as they are but for their case, and those of the key.
_LETTERS = "a-zà-öø-ÿа-яѐ-џ"
_KNOWN = rf"^[\x00-%'-\x7f{_LETTERS}À-ÖØ-ÞА-ЯЀ-Џ“”„‘’–—«»]*$"
_OTHERS = f"[^{_LETTERS}]+"


class HeldOut:
    """The texts of a corpus's valid and test rows."""

    def __init__(self, texts: Iterator[tuple[str, str]]) -> None:
        """Of each text its language and itself."""
        self._digests: set[int] = set()
        letters: set[str] = set()
        for language, text in texts:
            self._digests.add(text_digest(language, text))
            letters.add(re.sub(_OTHERS, "", near(text)))
        self._letters = pa.array(sorted(letters), pa.string())

    @classmethod
    def of(cls, corpus: Artifact) -> "HeldOut":
        """Read anew: about 100 bytes a text."""
        return cls(text for prefix in _HELD_OUT for table in corpus.tables(f"{prefix}-", (*_PAIR, *LANGUAGES))
                   for text in _texts(table, _PAIR))  # fmt: skip

    def rows(self, table: pa.Table) -> list[int]:
        """Rows one of whose texts is held out, in whatever direction; what is learned is the target."""
        maybe = pa.array([False] * table.num_rows, pa.bool_())
        for name in _texts_of(table):
            maybe = pc.or_(maybe, self._may_be(table[name]))
        places = pc.indices_nonzero(maybe).to_pylist()
        looked_at = table.take(pa.array(places, pa.int64()))
        return [place for place, row in zip(places, _rows(looked_at), strict=True) if self._has(row)]

    def _may_be(self, column: pa.ChunkedArray) -> pa.ChunkedArray:
        """False of texts that are surely not held out."""
        known = pc.match_substring_regex(column, _KNOWN)
        letters = pc.replace_substring_regex(pc.replace_substring(pc.utf8_lower(column), "ß", "ss"), _OTHERS, "")
        unlike = pc.and_(known, pc.invert(pc.is_in(letters, self._letters)))
        return pc.fill_null(pc.invert(unlike), False)

    def _has(self, texts: Sequence[tuple[str, str]]) -> bool:
        return any(text_digest(*each) in self._digests for each in texts)


def screened(dataset: Artifact, corpus: Artifact) -> pa.Table:
    """Shard, row and languages of every row that shares a text; from memory where that was found before."""
    if not any(corpus.shard_names(f"{split}-") for split in _HELD_OUT):
        return _FOUND.empty_table()
    path = user_cache() / "screened" / f"{_key(dataset, corpus)}{SUFFIX}"
    if (found := _known(path)) is not None:
        return found
    held_out = HeldOut.of(corpus)
    parts = [_of_shard(dataset, name, held_out) for name in dataset.shard_names()]
    found = pa.concat_tables([_FOUND.empty_table(), *parts])
    try:
        write_atomically(path, encode(found))
    except (OSError, PotstillError) as error:
        _LOG.warning("what was found is not remembered, so each training looks at all rows again: %s", error)
    return found


def _of_shard(dataset: Artifact, name: str, held_out: HeldOut) -> pa.Table:
    table = _clean(dataset.read_shard(name, (*_TEXTS, *LANGUAGES, *(_CLEAN if read_by(dataset) == "teacher" else ()))))
    rows = pa.array(held_out.rows(table), pa.int64())
    languages = [table[language].take(rows) for language in LANGUAGES]
    return pa.table([pa.array([name] * len(rows), pa.string()), rows, *languages], schema=_FOUND)


def _clean(table: pa.Table) -> pa.Table:
    """With sources as they were before noise."""
    if _CLEAN[0] not in table.column_names:
        return table
    sources = pc.coalesce(table[_CLEAN[0]], table["source"])
    return table.set_column(table.column_names.index("source"), "source", sources)


def _texts_of(table: pa.Table) -> tuple[str, ...]:
    """Columns with texts, the source first; all others are in the target's language."""
    return (*_TEXTS, *(name for name in _CLEAN[1:] if name in table.column_names))


def _key(dataset: Artifact, corpus: Artifact) -> str:
    """A digest of all that the result hangs on."""
    manifest = corpus.manifest()
    try:
        texts = manifest.columns_digest(dict.fromkeys(_HELD_OUT, (*_PAIR, *LANGUAGES)))
    except DataError:
        texts = manifest.content_digest()
    return mapping_digest(
        {
            "version": VERSION,
            "dataset": dataset.manifest().content_digest(),
            "noise": read_by(dataset),
            "held out": texts,
        }
    )


def _known(path: Path) -> pa.Table | None:
    if not path.is_file():
        return None
    try:
        return decode(str(path), _FOUND.names, str(path))
    except DataError as error:
        _LOG.warning("%s; all rows are looked at again", error)
        return None


def _rows(table: pa.Table) -> Iterator[list[tuple[str, str]]]:
    """Of each row its texts, as far as it has them, each with its language."""
    columns = [table.column(name).to_pylist() for name in _texts_of(table)]
    for direction, source, *others in zip(directions_of(table), *columns, strict=True):
        targets = {text for text in others if text is not None}
        yield [(direction.source, source), *((direction.target, text) for text in targets)]


def _texts(table: pa.Table, names: Sequence[str]) -> Iterator[tuple[str, str]]:
    for name, language in zip(names, LANGUAGES, strict=True):
        pairs = zip(table.column(language).to_pylist(), table.column(name).to_pylist(), strict=True)
        yield from ((tag, text) for tag, text in pairs if text is not None)
