"""A trained student as one folder that translates: CTranslate2 model, tokenizer, and a card that says how."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from data.errors import DataError, ModelError
from data.model_folder import CHECKPOINT_FILE, TeacherInfo, describe_model, save_teacher_info
from data.runtime import Runtime
from data.store import Artifact
from stages.languages.directions import directions_of, some_direction
from stages.loaded_model.conversion import convert_checkpoint
from stages.loaded_model.translate import load_translator, size_on_disk
from stages.presentation.model_card import CardFacts, render_card
from stages.text.tokenizer import FILES, LIBRARY_MODEL, SOURCE_CODES

VERSION = "3"
LIBRARIES = ("ctranslate2",)
INPUTS = ("corpus", "student", "tokenizer")

_SCRATCH = ".model"


class Config(BaseModel):
    """What the exported folder holds."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    quantization: Literal[
        "int8", "int8_float32", "int8_float16", "int8_bfloat16", "int16", "float16", "bfloat16", "float32"
    ] = Field("int8", description="how weights are stored; int8 is smallest, and fastest on a CPU")


def run(inputs: Mapping[str, Artifact], config: Config, output: Artifact, runtime: Runtime) -> dict[str, Any]:
    """Convert the checkpoint of `student` (or of `baseline`) and put its tokenizer, `student_tokenizer` if any, beside.

    Metrics: parameters, bytes, quantization. Raises ModelError when the checkpoint cannot be read or converted, or
    when model and tokenizer do not translate together.
    """
    trained = inputs["student"] if "student" in inputs else inputs["baseline"]
    folder = output.work_path()
    _convert(trained.path() / CHECKPOINT_FILE, folder, config.quantization)
    tokenizer = inputs["student_tokenizer"] if "student_tokenizer" in inputs else inputs["tokenizer"]
    _copy_tokenizer(tokenizer.path(), folder)
    info = describe_model(folder, "student").model_copy(update=_asked(trained))
    save_teacher_info(folder, info)
    _check_it_translates(folder, runtime)
    facts = _card_facts(inputs["corpus"], trained, folder, info)
    (folder / "README.md").write_text(render_card(facts), encoding="utf-8")
    return {"parameters": info.parameters, "bytes": facts.bytes, "quantization": info.quantization}


def _asked(trained: Artifact) -> dict[str, Any]:
    """How a student of several language pairs is told the direction, and which it has learned."""
    learned = trained.manifest().metrics.get("languages")
    if not learned:
        return {}
    prefix, names = tuple(learned["source_prefix"]), learned["language_names"]
    return {"source_prefix": prefix, "language_names": names, "pairs": tuple(learned["pairs"])}


def _convert(checkpoint: Path, folder: Path, quantization: str) -> None:
    # The converter empties the folder it writes to, so it gets one of its own.
    scratch = folder / _SCRATCH
    convert_checkpoint(checkpoint, scratch, quantization=quantization)
    for path in scratch.iterdir():
        path.replace(folder / path.name)
    scratch.rmdir()


def _copy_tokenizer(source: Path, folder: Path) -> None:
    for name in FILES:
        if (source / name).is_file():
            shutil.copyfile(source / name, folder / name)


def _check_it_translates(folder: Path, runtime: Runtime) -> None:
    translator = load_translator(folder, threads=runtime.threads, device=runtime.device)
    try:
        translator.toward(some_direction(translator.info)).translate(["a"], beam_size=1)
    except (RuntimeError, ValueError) as error:
        raise ModelError(f"{folder}: the exported model does not translate with its tokenizer: {error}") from error


def _card_facts(corpus: Artifact, trained: Artifact, folder: Path, info: TeacherInfo) -> CardFacts:
    columns = ["source_language", "target_language"]
    rows = (each for table in corpus.tables("train-", columns) for each in directions_of(table))
    # A student of several pairs is shown with one that it has learned.
    direction = next((each for each in rows if info.translates(str(each))), None)
    if direction is None:
        raise DataError(f"{corpus.url}: the train split is empty, so the languages of the model are not known")
    manifest = trained.manifest()
    return CardFacts(
        source_language=direction.source,
        target_language=direction.target,
        parameters=info.parameters,
        bytes=size_on_disk(folder, folder),
        quantization=info.quantization,
        made_by=f"{trained.node}-{trained.fingerprint}",
        on_references=manifest.config.get("data") == "reference",
        steps=manifest.metrics.get("steps"),
        sentencepiece=(folder / "source.spm").is_file(),
        target_sentencepiece=(folder / "target.spm").is_file(),
        libraries=manifest.libraries,
        pairs=info.pairs,
        source_prefix=info.toward(direction).source_prefix,
        library=(folder / LIBRARY_MODEL).is_file(),
        codes=(folder / SOURCE_CODES).is_file(),
        soft_targets=manifest.config.get("objective", {}).get("soft_targets", {}).get("weight") != 0,
    )
