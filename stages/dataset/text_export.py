"""The distilled dataset as the parallel text files that stock `onmt_train` takes."""

import json
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import IO

import pyarrow as pa
import pyarrow.compute as pc

from data.artifact import Artifact
from data.errors import DataError
from data.local import atomic, storage_faults, write_atomically
from data.model_folder import VOCABULARY_FILE
from stages.languages.directions import COLUMNS as LANGUAGES
from stages.noise.reading import COLUMNS as NOISE
from stages.noise.reading import REWRITTEN, as_student_reads
from stages.text.tokenizer import Tokenizer, load_tokenizer

TOKENIZER = "tokenizer"
# File by file, line by line the same row.
TEXTS = ("ids.txt", "source.txt", "target.txt", "source.tok", "target.tok", "languages.txt")
CONFIG = "onmt_train.yaml"
# OpenNMT-py puts these first, in its own order, when a vocabulary lacks them.
SPECIALS = ("<unk>", "<blank>", "<s>", "</s>")
_COLUMNS = ("id", "source", "target", "target_tokens", *LANGUAGES)


def export_text(dataset: Artifact, folder: Path) -> dict[str, int]:
    """Writes text and subwords of source and target, ids, languages, both vocabularies, and a config for `onmt_train`.

    Subwords are the teacher's own, separated by spaces, so that nobody tokenises a hypothesis again. Soft targets have
    no place in text. Noise that is for the student is there as it reads it. Files of the same names are replaced, each
    whole or not at all. Returns the number of rows. Raises DataError when a token holds a space, PotstillError when the
    folder cannot be written to.
    """
    own = dataset.path()
    tokenizer = load_tokenizer(own / TOKENIZER)
    vocabulary: dict[str, list[str]] = json.loads((own / VOCABULARY_FILE).read_bytes())
    known, rows, pairs = frozenset(vocabulary["target"]), 0, set[str]()
    with storage_faults(folder), ExitStack() as stack:
        folder.mkdir(parents=True, exist_ok=True)
        paths = [stack.enter_context(atomic(folder / name)) for name in TEXTS]
        files = [stack.enter_context(path.open("w", encoding="utf-8", newline="\n")) for path in paths]
        for table in dataset.tables(columns=list(dict.fromkeys((*_COLUMNS, *NOISE)))):
            pairs |= _write(_as_read(table, tokenizer, known), tokenizer, files)
            rows += table.num_rows
    sizes = _write_vocabularies(vocabulary, folder)
    write_atomically(folder / CONFIG, (_several(pairs) + _config(*sizes)).encode())
    return {"rows": rows}


def _as_read(table: pa.Table, tokenizer: Tokenizer, known: frozenset[str]) -> pa.Table:
    """Rows with the noise that is for the student, and targets that follow it."""
    read = as_student_reads(table, "target_tokens", tokenizer, known)
    texts = read["target"].to_pylist()
    for place in pc.indices_nonzero(read[REWRITTEN]).to_pylist():
        texts[place] = tokenizer.decode_target([read["target_tokens"][place].as_py()])[0]
    return read.set_column(read.column_names.index("target"), "target", pa.array(texts, pa.string()))


def _write(table: pa.Table, tokenizer: Tokenizer, files: Sequence[IO[str]]) -> set[str]:
    """The language pairs among the rows."""
    ids, sources, targets, tokens, *languages = (table.column(name).to_pylist() for name in _COLUMNS)
    pairs = [f"{source}-{target}" for source, target in zip(*languages, strict=True)]
    columns = (
        ids,
        _lines(sources),
        _lines(targets),
        _joined(ids, tokenizer.encode_source(sources)),
        _joined(ids, tokens),
        pairs,
    )
    for file, lines in zip(files, columns, strict=True):
        file.writelines(f"{line}\n" for line in lines)
    return set(pairs)


def _lines(texts: Sequence[str]) -> Iterator[str]:
    """A text a line: whatever may end a line is a space."""
    return (" ".join(text.splitlines()) for text in texts)


def _joined(ids: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    for row_id, tokens in zip(ids, rows, strict=True):
        if wrong := [token for token in tokens if not _fits(token)]:
            raise DataError(
                f"the token {wrong[0]!r} is empty, or holds a space or the end of a line, so that it cannot be told "
                "from others in a text file; read the Parquet files instead",
                row_id=row_id,
            )
        yield " ".join(tokens)


def _fits(token: str) -> bool:
    return bool(token) and " " not in token and "\n" not in token


def _write_vocabularies(vocabulary: dict[str, list[str]], folder: Path) -> list[int]:
    """A token a line, in the teacher's order; returns the sizes that OpenNMT-py will find."""
    sizes = []
    for side in ("source", "target"):
        tokens = [token for token in dict.fromkeys(vocabulary[side]) if token not in SPECIALS and _fits(token)]
        write_atomically(folder / f"{side}.vocab", "".join(f"{token}\n" for token in tokens).encode())
        sizes.append(len(SPECIALS) + len(tokens))  # OpenNMT-py counts its own, and drops what is over
    return sizes


def _several(pairs: set[str]) -> str:
    """What is missing where no line says into which language it is to be translated."""
    if len(pairs) < 2:
        return ""
    return (
        f"# Lines are of {', '.join(sorted(pairs))}, as languages.txt tells: put a token for the language before\n"
        "# each line of source.tok, and these tokens into source.vocab. Equal sources have targets in several.\n"
    )


def _config(source_size: int, target_size: int) -> str:
    return f"""\
# In this folder: onmt_train -config {CONFIG}
# and whatever else OpenNMT-py is to know of the model and of its training.
data:
  train:
    path_src: source.tok
    path_tgt: target.tok
    transforms: []
src_vocab: source.vocab
tgt_vocab: target.vocab
src_vocab_size: {source_size}
tgt_vocab_size: {target_size}
save_model: student
"""
