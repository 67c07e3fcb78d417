"""tokenizer: texts <-> subwords, by SentencePiece trained on the corpus, given, or the teacher's own."""

import re
import unicodedata
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from data.artifact import Artifact
from data.errors import DataError, ModelError
from data.runtime import Runtime
from data.teachers import GIVEN, given_nodes
from stages.noise.reading import COLUMNS as NOISE
from stages.noise.reading import is_for_student, noisy_pairs, with_noise_columns
from stages.text.marks import is_mark
from stages.text.own_models import copy_models, tokenizer_of, write_description
from stages.text.tokenizer import SOURCE_MODEL

VERSION = "3"
LIBRARIES = ("sentencepiece",)
# Bytes; a longer sentence would be left out of the training without a word.
LONGEST_SENTENCE = 1 << 20
# Letters; corpora have no longer text unless they are told to.
LONGEST_RUN = 4096
_LONG_RUN = re.compile(rf"(\S{{{LONGEST_RUN}}})(?=\S)")
_SPACE = "\u2581"
# What byte_fallback calls a byte.
_BYTE = re.compile("<0x[0-9A-F]{2}>")


class Config(BaseModel):
    """Options of the tokenizer; those after `kind` that belong to another kind are faults."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["train", "file", "teacher", "none"] = Field(
        "train", description="train one, take files, take the teacher's own, or split at spaces"
    )
    model_type: Literal["unigram", "bpe"] = Field("unigram", description="train: how subwords are found")
    vocabulary_size: int = Field(8000, description="train: number of subwords, for both languages together", ge=16)
    character_coverage: float = Field(
        1.0, description="train: share of the characters that get a subword of their own", ge=0.9, le=1
    )
    byte_fallback: bool = Field(False, description="train: spell unknown characters as bytes, never as <unk>")
    normalisation: Literal["identity", "nfkc", "nmt_nfkc", "nfkc_cf", "nmt_nfkc_cf"] = Field(
        "identity", description="train: what SentencePiece does to a text first; all but identity lose something"
    )
    user_defined_symbols: list[str] = Field(
        default_factory=list, description="train: texts that are never split, such as ['{{ name }}']"
    )
    sample_rows: int = Field(1_000_000, description="train: rows of the train split that are looked at", ge=1)
    source_model: str | None = Field(
        None,
        description="file: SentencePiece model of the source language, a tokenizer.json for both languages, "
        "or codes of subword-nmt or fastBPE (`@@`)",
    )
    target_model: str | None = Field(None, description="file: of the target language; the same when absent")
    moses: list[str] = Field(
        default_factory=list,
        description="file, of codes: languages of source and target, such as ['en', 'de'], whose rules cut words as "
        "the Moses tokeniser does, where the model was trained so; needs the package sacremoses",
        max_length=2,
    )
    belongs_to_teacher: bool = Field(
        False,
        description="file: it is the teacher's own, though the teacher's vocabulary lacks many of its subwords, as one "
        "that was cut by frequency does; texts with them have unknown tokens, which are counted",
    )

    @field_validator("user_defined_symbols")
    @classmethod
    def _are_texts(cls, symbols: list[str]) -> list[str]:
        known: dict[str, str] = {}
        for symbol in symbols:
            found = as_text(symbol)
            if not found.strip():
                raise ValueError(f"{symbol!r}: shows nothing; expected a text, such as '{{{{ name }}}}'")
            if is_mark(found) or _BYTE.fullmatch(found):
                raise ValueError(
                    f"{symbol!r}: is a mark of the models' own format, and text that spells it would be taken for one; "
                    "leave it out, or give it another name"
                )
            piece = found.replace(" ", _SPACE)
            if piece in known:
                raise ValueError(f"{symbol!r}: comes twice, the first time as {known[piece]!r}; leave one out")
            known[piece] = symbol
        return symbols

    @model_validator(mode="after")
    def _check(self) -> Self:
        own = {"train": set(TRAIN_KEYS), "file": FILE_KEYS}.get(self.kind, set())
        if foreign := sorted(self.model_fields_set - own - {"kind"}):
            raise ValueError(f"{', '.join(foreign)}: not used with kind = {self.kind!r}; leave out")
        if len(self.moses) == 1:
            raise ValueError("moses: expected two languages, of source and target")
        if self.kind == "file" and not self.source_model:
            raise ValueError("source_model: required with kind = 'file'")
        if self.target_model and Path(self.target_model).suffix == ".json":
            raise ValueError("target_model: a tokenizer.json serves both languages; name it as source_model alone")
        return self


FILE_KEYS = {"source_model", "target_model", "moses", "belongs_to_teacher"}
TRAIN_KEYS = (
    "model_type",
    "vocabulary_size",
    "character_coverage",
    "byte_fallback",
    "normalisation",
    "user_defined_symbols",
    "sample_rows",
)


def inputs(config: Config) -> tuple[str, ...]:
    """The nodes that are read, which hang on the kind."""
    return {"train": ("corpus",), "teacher": ("teacher",)}.get(config.kind, ())


def reads_only(config: Config) -> dict[str, dict[str, tuple[str, ...]]]:
    """Splits and columns of the corpus, and of translations that are given, of those who read them."""
    return {"corpus": {"train": ("source", "reference", *NOISE)}, GIVEN: {"train": ("texts",)}}


def run(inputs: Mapping[str, Artifact], config: Config, output: Artifact, runtime: Runtime) -> dict[str, Any]:
    """Leaves `source.spm`, `target.spm` unless it is the same, or `subwords.json`, and `tokenizer.json`; returns sizes.

    Raises ModelError when a model cannot be read or trained, DataError when there is nothing to train on.
    """
    folder = output.work_path()
    rows = 0
    if config.kind == "teacher":
        tokenizer = tokenizer_of(inputs["teacher"].path(), folder)
    else:
        if config.kind == "train":
            rows = _train(_sample(inputs, config.sample_rows), config, folder / SOURCE_MODEL, runtime)
        elif config.kind == "file":
            target = Path(config.target_model) if config.target_model else None
            copy_models(Path(str(config.source_model)), target, folder)
        tokenizer = write_description(folder, config.kind, own=config.belongs_to_teacher, moses=config.moses)
    sizes = {"source_pieces": len(tokenizer.source_pieces()), "target_pieces": len(tokenizer.target_pieces())}
    return {"kind": config.kind, "digest": tokenizer.digest(), "rows": rows, **sizes}


def external_files(config: Config) -> list[Path]:
    """Given models, whose content belongs to the fingerprint."""
    return [Path(path) for path in (config.source_model, config.target_model) if path]


def faults(config: Config) -> list[str]:
    """A line for each given model that is not there."""
    given = {"source_model": config.source_model, "target_model": config.target_model}
    return [
        f"tokenizer.{key}: no such file: {path}" for key, path in given.items() if path and not Path(path).is_file()
    ]


def _sample(inputs: Mapping[str, Artifact], rows: int) -> Iterator[tuple[str | None, ...]]:
    """The first rows of the train split, each with the first of each teacher's translations that are given.

    The corpus is in order of a hash, so they are a random sample.
    """
    left, corpus = rows, inputs["corpus"]
    given = [inputs[node] for node in given_nodes(inputs).values()]
    with_noise = is_for_student(corpus)
    columns = with_noise_columns(("source", "reference"), corpus)
    for name in corpus.shard_names("train-"):
        taken = corpus.read_shard(name, columns).slice(0, left)
        texts = [taken["source"].to_pylist(), taken["reference"].to_pylist()]
        for one in given:
            listed = one.read_shard(name, ["texts"]).slice(0, left)["texts"].to_pylist()
            texts.append([row[0] if row else None for row in listed])
        yield from zip(*texts, strict=True)
        # What the student alone reads has letters that nothing else may have, such as capitals.
        yield from noisy_pairs(taken) if with_noise else ()
        left -= taken.num_rows
        if not left:
            return


def as_text(symbol: str) -> str:
    """A symbol as the corpus has its text: Unicode NFC, runs of whitespace folded to one space."""
    return re.sub(r"\s+", " ", unicodedata.normalize("NFC", symbol))


def _pieces(config: Config) -> list[str]:
    """The symbols as SentencePiece finds them in a text: it looks for them when spaces are marked already.

    Where it changes a text first, one with spaces is named as it stands there, too, so that it is left alone.
    """
    texts = [as_text(symbol) for symbol in config.user_defined_symbols]
    raw = [text for text in texts if " " in text] if config.normalisation != "identity" else []
    return [text.replace(" ", _SPACE) for text in texts] + raw


def within_bounds(text: str) -> str:
    """A text for the training of subwords; a space stands in runs without one that are longer than any sentence.

    A unigram model's training takes time that grows with the square of the longest.
    """
    return _LONG_RUN.sub(r"\1 ", text) if len(text) > LONGEST_RUN else text


def _train(sample: Iterator[tuple[str | None, ...]], config: Config, path: Path, runtime: Runtime) -> int:
    """Trains on sources, references and given translations together; returns the number of rows."""
    from sentencepiece import SentencePieceTrainer

    seen = 0

    def texts() -> Iterator[str]:
        nonlocal seen
        for row in sample:
            seen += 1
            yield from (within_bounds(text) for text in row if text is not None)

    with path.open("wb") as stream:
        try:
            SentencePieceTrainer.train(
                sentence_iterator=texts(),
                model_writer=stream,
                model_type=config.model_type,
                vocab_size=config.vocabulary_size,
                character_coverage=config.character_coverage,
                byte_fallback=config.byte_fallback,
                normalization_rule_name=config.normalisation,
                user_defined_symbols=_pieces(config),
                max_sentence_length=LONGEST_SENTENCE,
                num_threads=1,  # more would make the model depend on their timing
                minloglevel=2,
            )
        except (RuntimeError, OSError) as error:
            if not seen:
                raise DataError("the train split has no row to train a tokenizer on; mend the corpus") from error
            raise ModelError(
                f"SentencePiece could not train {config.vocabulary_size} subwords on {seen} rows: {error}; "
                "change tokenizer.vocabulary_size"
            ) from error
    runtime.progress(seen, seen, {})
    return seen
