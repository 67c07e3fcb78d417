"""tokenizer: texts <-> subwords, by SentencePiece trained on the corpus, given, or the teacher's own."""

import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from data.artifact import Artifact
from data.errors import DataError, ModelError
from data.local import storage_faults, write_atomically
from data.runtime import Runtime
from stages.text.tokenizer import DESCRIPTION, SOURCE_MODEL, TARGET_MODEL, describe, load_tokenizer, open_model

if TYPE_CHECKING:
    pass

VERSION = "1"
LIBRARIES = ("sentencepiece",)
# Names under which models keep their subword models, the source side first.
TEACHER_NAMES = ((SOURCE_MODEL, TARGET_MODEL), ("source.model", "target.model"))
SHARED_NAMES = ("sentencepiece*.model", "spm*.model", "spiece*.model", "tokenizer.model", "*.spm")
# Of the library tokenizers, whose models are not SentencePiece's: what is exported for a phone reads none of them.
OTHER_TOKENIZER = "tokenizer.json"
# Bytes; a longer sentence would be left out of the training without a word.
LONGEST_SENTENCE = 1 << 20


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
    user_defined_symbols: list[str] = Field(default_factory=list, description="train: texts that are never split")
    sample_rows: int = Field(1_000_000, description="train: rows of the train split that are looked at", ge=1)
    source_model: str | None = Field(None, description="file: SentencePiece model of the source language")
    target_model: str | None = Field(None, description="file: of the target language; the same when absent")

    @model_validator(mode="after")
    def _check(self) -> Self:
        own = {"train": set(TRAIN_KEYS), "file": {"source_model", "target_model"}}.get(self.kind, set())
        if foreign := sorted(self.model_fields_set - own - {"kind"}):
            raise ValueError(f"{', '.join(foreign)}: not used with kind = {self.kind!r}; leave out")
        if self.kind == "file" and not self.source_model:
            raise ValueError("source_model: required with kind = 'file'")
        return self


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
    """Splits and columns of the corpus, of those who read it."""
    return {"corpus": {"train": ("source", "reference")}}


def run(inputs: Mapping[str, Artifact], config: Config, output: Artifact, runtime: Runtime) -> dict[str, Any]:
    """Leaves `source.spm`, `target.spm` unless it is the same, and `tokenizer.json`; returns sizes.

    Raises ModelError when a model cannot be read or trained, DataError when there is nothing to train on.
    """
    folder = output.work_path()
    rows = 0
    if config.kind == "train":
        rows = _train(_sample(inputs["corpus"], config.sample_rows), config, folder / SOURCE_MODEL, runtime)
    elif config.kind == "file":
        _copy(Path(str(config.source_model)), Path(config.target_model) if config.target_model else None, folder)
    elif config.kind == "teacher":
        _copy(*find_models(inputs["teacher"].path()), folder)
    description = describe(folder, config.kind)
    write_atomically(folder / DESCRIPTION, json.dumps(description, indent=1).encode())
    tokenizer = load_tokenizer(folder)
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


def find_models(folder: Path) -> tuple[Path, Path | None]:
    """A teacher's own source and target model, the latter None when it is shared; raises ModelError without any."""
    for source, target in TEACHER_NAMES:
        if (folder / source).is_file():
            return folder / source, folder / target if (folder / target).is_file() else None
    found = [path for pattern in SHARED_NAMES for path in sorted(folder.glob(pattern))]
    if not found:
        names = ", ".join(sorted(path.name for path in folder.iterdir())[:20])
        other = (folder / OTHER_TOKENIZER).is_file()
        raise ModelError(
            f"{folder} has no SentencePiece model ({SOURCE_MODEL}, {TARGET_MODEL} or {', '.join(SHARED_NAMES)}); "
            f"it has {names}; set kind = 'file' in [tokenizer] and name the models"
            + (f", or take another teacher: subwords by {OTHER_TOKENIZER} alone are not supported" if other else "")
        )
    return found[0], None


def _copy(source: Path, target: Path | None, folder: Path) -> None:
    open_model(source)
    with storage_faults(folder):
        shutil.copyfile(source, folder / SOURCE_MODEL)
        if target:
            open_model(target)
            shutil.copyfile(target, folder / TARGET_MODEL)


def _sample(corpus: Artifact, rows: int) -> Iterator[tuple[str, str | None]]:
    """The first rows of the train split: the corpus is in order of a hash, so they are a random sample."""
    left = rows
    for table in corpus.tables("train-", ["source", "reference"]):
        taken = table.slice(0, left)
        yield from zip(taken["source"].to_pylist(), taken["reference"].to_pylist(), strict=True)
        left -= taken.num_rows
        if not left:
            return


def _train(sample: Iterator[tuple[str, str | None]], config: Config, path: Path, runtime: Runtime) -> int:
    """Trains on sources and references together; returns the number of rows."""
    from sentencepiece import SentencePieceTrainer

    seen = 0

    def texts() -> Iterator[str]:
        nonlocal seen
        for source, reference in sample:
            seen += 1
            yield source
            if reference is not None:
                yield reference

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
                user_defined_symbols=config.user_defined_symbols,
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
