"""teacher: a model from anywhere, or trained here, as a CTranslate2 folder that says what it is."""

import importlib.util
import re
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from data.artifact import Artifact
from data.model_folder import (
    CHECKPOINT_FILE,
    INFO_FILE,
    MODEL_FILE,
    TeacherInfo,
    describe_model,
    load_teacher_info,
    model_faults,
    save_teacher_info,
)
from data.runtime import Runtime
from stages.languages.directions import COLUMNS as LANGUAGES
from stages.teacher.chat import chat_prompt
from stages.teacher.config import WITH_CHECKPOINT, Config, Quantization
from stages.teacher.hub import convert_transformers
from stages.teacher.hub_folder import hub_model_faults
from stages.teacher.marian import OPUS_MT_DESCRIPTION, convert_marian
from stages.teacher.prefix_text import with_text_as_tokens
from stages.teacher.restoring import restore_checkpoint, restore_faults
from stages.teacher.sources import (
    convert_fairseq,
    copy_folder,
    tokenizer_files,
)
from stages.teacher.tags import (
    check_asked,
    check_tags,
    default_around,
    default_source_prefix,
    default_source_suffix,
)
from stages.text.own_models import marks_of
from stages.training.vocabulary import BEGIN, SEPARATOR
from stages.training.weights_config import ORIGIN

__all__ = ["Config", "best_quantization", "external_files", "faults", "inputs", "reads_only", "run"]

VERSION = "5"
LIBRARIES = ("ctranslate2", "torch", "OpenNMT-py", "sentencepiece")
INPUTS = ("corpus", "tokenizer")

# Best first: as fast as a type can be at next to no loss. A CPU computes in 8 bits many times faster than in 32.
_BEST: dict[str, tuple[Quantization, ...]] = {
    "cpu": ("int8", "int16", "float32"),
    "cuda": ("float16", "int8_float16", "int8", "float32"),
}
_OPTIONAL_LIBRARIES = {
    "transformers": {
        name: f"make setup-dev, or {sys.executable} -m pip install {name}"
        for name in ("transformers", "huggingface_hub")
    },
    "fairseq": {"fairseq": "its fork fairseq-fixed knows Python 3.11"},
}
_TAGS = ("source_prefix", "source_suffix", "target_prefix")
_ASKED = (*_TAGS, "language_names", "prompt", "end_token", "pairs")
_HUB_NAME = re.compile(r"\w[\w.-]*(/[\w.-]+)?")


def inputs(config: Config) -> tuple[str, ...]:
    """The nodes that are read: none but for a training."""
    return INPUTS if config.kind == "train" else ()


def reads_only(config: Config) -> dict[str, dict[str, tuple[str, ...]]]:
    """Splits and columns of the corpus that a training reads."""
    valid = ("source", "reference", *LANGUAGES)
    shares = config.weights or (config.languages and config.languages.sampling_temperature != 1)
    drawn = (*(("id",) if shares else ()), *((ORIGIN,) if config.weights else ()))
    return {"corpus": {"train": (*valid, *drawn), "valid": valid}}


def run(inputs: Mapping[str, Artifact], config: Config, output: Artifact, runtime: Runtime) -> dict[str, Any]:
    """Leaves a CTranslate2 folder with `potstill.json`, the model's own tokenizer files, and `checkpoint.pt` if any.

    Raises ModelError when the model cannot be read, converted or used as it is described.
    """
    folder = output.work_path()
    quantization = config.quantization if config.quantization != "auto" else best_quantization(config, runtime)
    local, trained = _make(inputs, config, folder, quantization, runtime)
    info = _describe(folder, config, trained).model_copy(update={"quantization": quantization, "device": config.device})
    checked = _check(local, folder, info, config, runtime)
    save_teacher_info(folder, info)
    return {
        "kind": config.kind,
        "parameters": info.parameters,
        "bytes": (folder / MODEL_FILE).stat().st_size,
        "quantization": info.quantization,
        "source_vocabulary_size": info.source_vocabulary_size,
        "target_vocabulary_size": info.target_vocabulary_size,
        **checked,
        **({"training": trained} if trained else {}),
    }


def external_files(config: Config) -> list[Path]:
    """Given files and folders, whose content belongs to the fingerprint; a hub's model is not among them."""
    given = [config.path, config.dictionaries, *config.vocabularies]
    there = [Path(path) for path in given if path and Path(path).exists()]
    if config.kind == "marian" and config.path and Path(config.path).is_file():
        there += tokenizer_files(Path(config.path).parent)
    return there


def faults(config: Config) -> list[str]:
    """A line for each thing that is missing or no model."""
    lines = [
        f"teacher.kind: {config.kind} needs the library {name}, which is not installed: {advice}"
        for name, advice in _OPTIONAL_LIBRARIES.get(config.kind, {}).items()
        if importlib.util.find_spec(name) is None
    ]
    if config.path is not None:
        lines += [f"teacher.path: {fault}" for fault in _path_faults(config, Path(config.path))]
    missing = [path for path in config.vocabularies if not Path(path).is_file()]
    lines += [f"teacher.vocabularies: no such file: {path}" for path in missing]
    if config.dictionaries and not Path(config.dictionaries).is_dir():
        lines.append(f"teacher.dictionaries: no such folder: {config.dictionaries}")
    return lines


def best_quantization(config: Config, runtime: Runtime) -> Quantization:
    """The best type that the teacher's device computes here."""
    import ctranslate2

    device = runtime.device if config.device == "auto" else config.device
    if device == "cuda" and runtime.device != "cuda":
        return _BEST["cuda"][0]
    supported = ctranslate2.get_supported_compute_types(device)
    return next(name for name in _BEST[device] if name in supported)


def _path_faults(config: Config, path: Path) -> list[str]:
    if config.kind == "ctranslate2":
        return model_faults(path) or (restore_faults(path) if config.restore_checkpoint else [])
    if config.kind == "transformers":
        if path.is_dir():
            return hub_model_faults(path)
        return [] if _HUB_NAME.fullmatch(str(config.path)) else [f"no such folder, and no name on the hub: {path}"]
    if config.kind == "marian" and path.is_dir():
        return (
            [] if (path / OPUS_MT_DESCRIPTION).is_file() else [f"{path} holds no {OPUS_MT_DESCRIPTION}: name the .npz"]
        )
    if not path.is_file():
        return [f"no such file: {path}"]
    if config.kind == "marian" and path.suffix == ".bin":
        return [f"{path} is a model for Marian's own decoder (.bin): name the .npz that it was made from"]
    if config.kind == "marian" and not config.vocabularies:
        return [f"{path} needs its vocabularies: set teacher.vocabularies to the .yml or .spm files, source first"]
    return []


def _make(
    inputs: Mapping[str, Artifact], config: Config, folder: Path, quantization: str, runtime: Runtime
) -> tuple[Path | None, dict[str, Any]]:
    """Fills the folder; returns where a hub's model lies, and what a training tells of itself."""
    if config.kind == "train":
        from stages.teacher.training import train_teacher

        return None, train_teacher(
            inputs,
            config.model,
            config.optimiser,
            config.validation,
            config.words,
            folder,
            quantization,
            runtime,
            decoder_only=config.architecture == "decoder-only",
            pairs=config.pairs,
            languages=config.languages,
            weights=config.weights,
        )
    path = Path(str(config.path))
    if config.kind == "opennmt":
        from stages.teacher.training import convert_opennmt

        convert_opennmt(path, folder, quantization)
    elif config.kind == "ctranslate2":
        copy_folder(path, folder)
        if config.restore_checkpoint:
            restore_checkpoint(folder, folder / CHECKPOINT_FILE)
    elif config.kind == "transformers":
        return convert_transformers(str(config.path), config.revision, folder, quantization), {}
    elif config.kind == "marian":
        convert_marian(path, [Path(name) for name in config.vocabularies], folder, quantization)
    else:
        languages = (config.source_language, config.target_language)
        convert_fairseq(path, Path(str(config.dictionaries)), *languages, folder, quantization)
    return None, {}


def _check(local: Path | None, folder: Path, info: TeacherInfo, config: Config, runtime: Runtime) -> dict[str, Any]:
    """The converted model against its original, where that can be had here, and against itself in float32."""
    from stages.teacher import checking

    # A model for a GPU may be made where there is none.
    device = "cuda" if runtime.device == "cuda" and info.device != "cpu" else "cpu"
    # Beside the folder, whose disk has the room.
    with tempfile.TemporaryDirectory(prefix=".check-", dir=folder) as scratch:
        if local is not None:
            return checking.check_hub_model(local, folder, info, Path(scratch), device)
        if config.kind in WITH_CHECKPOINT:
            return checking.check_opennmt_model(folder, info, Path(scratch), device)
        if config.kind == "marian":
            vocabularies = [Path(name) for name in config.vocabularies]
            path = Path(str(config.path))
            return checking.check_marian_model(path, vocabularies, folder, info, Path(scratch), device)
        return checking.check_given_model(folder, info, device)


def _describe(folder: Path, config: Config, trained: Mapping[str, Any]) -> TeacherInfo:
    """What the recipe says of the model, else what Potstill wrote beside it earlier, else what its files show."""
    found = describe_model(folder, config.kind)  # first of all: is it a model?
    earlier = load_teacher_info(folder) if (folder / INFO_FILE).is_file() else None
    shown = _with_tags(_shown(folder, found, config), trained.get("languages"))
    told, known = _told(config, folder), earlier or found.model_copy(update=shown)
    info = found.model_copy(update={name: told.get(name, getattr(known, name)) for name in _ASKED})
    info = with_text_as_tokens(folder, info)
    alone = earlier is not None or info.architecture == "decoder-only"
    given = {"source_prefix", "source_suffix"} & told.keys()
    check_tags(folder, info, target_given="target_prefix" in told or alone, source_given=bool(given) or alone)
    check_asked(folder, info)
    return info


def _told(config: Config, folder: Path) -> dict[str, Any]:
    """What the recipe says of how the model is asked."""
    tags = {name: tuple(value) for name in _TAGS if (value := getattr(config, name)) is not None}
    prompt = config.prompt
    pairs: dict[str, Any] = {"pairs": tuple(config.pairs)} if config.pairs else {}
    pairs |= {"language_names": config.language_names} if config.language_names else {}
    if prompt is None:
        return tags | pairs
    if not prompt.chat:
        return tags | pairs | {"prompt": prompt.render(), "end_token": prompt.end_token}
    rendered, end = chat_prompt(folder, prompt, marks_of(folder))
    # Its template has the beginning, too.
    return {"source_prefix": (), **tags, **pairs, "prompt": rendered, "end_token": prompt.end_token or end}


def _with_tags(shown: Mapping[str, Any], learned: Mapping[str, Any] | None) -> dict[str, Any]:
    """With the tags and the pairs that a model learned here."""
    if learned is None:
        return dict(shown)
    prefix = (*shown.get("source_prefix", ()), *learned["source_prefix"])
    names = {"language_names": learned["language_names"], "pairs": tuple(learned["pairs"])}
    return {**shown, **names, "source_prefix": prefix}


def _shown(folder: Path, found: TeacherInfo, config: Config) -> dict[str, Any]:
    """What the model's files show of it."""
    if config.kind == "transformers":
        return dict(default_around(folder))
    if found.architecture == "encoder-decoder":
        return {"source_suffix": default_source_suffix(folder)}
    if config.kind == "train":
        return {"source_prefix": (BEGIN,), "source_suffix": (SEPARATOR,)}
    return {"source_prefix": default_source_prefix(folder)}
