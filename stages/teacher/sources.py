"""Models of other toolkits -> a CTranslate2 folder, through CTranslate2's own converters; no model may run code."""

import argparse
import json
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from data.errors import ModelError
from data.fingerprint import is_hidden
from stages.text.sentencepiece_model import open_model

if TYPE_CHECKING:
    from ctranslate2.converters import Converter

# Files from which subwords are made, under the names that toolkits give them.
_TOKENIZER_PATTERNS = ("*.spm", "*.model", "*.vocab", "tokenizer.json")
OPUS_MT_DESCRIPTION = "decoder.yml"
# A manifest would be taken for the artefact's own.
_NOT_COPIED = ("manifest.json",)
# What converters raise of models that they cannot read or that CTranslate2 cannot run.
CONVERSION_ERRORS = (
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    AttributeError,
    NotImplementedError,
    RuntimeError,
    OSError,
    ImportError,
)


# model_type of what CTranslate2 converts and makes texts with.
HUB_TYPES = frozenset(
    {
        *("bart", "bloom", "codegen", "falcon", "gemma", "gemma2", "gemma3", "gemma3_text", "gemma4", "gemma4_text"),
        *("gemma4_unified", "gemma4_unified_text", "gpt2", "gpt_bigcode", "gpt_neox", "gptj", "llama", "m2m_100"),
        *("marian", "mbart", "mistral", "mpt", "mt5", "opt", "pegasus", "phi", "phi3", "qwen2", "qwen3"),
        *("RefinedWebModel", "t5", "t5gemma", "t5gemma2", "umt5"),
    }
)


def hub_model_faults(folder: Path) -> list[str]:
    """Why a local folder is no model of transformers that can teach; a line at most, without loading anything."""
    config = folder / "config.json"
    if not config.is_file():
        return [f"{folder} holds no config.json: it is no model"]
    try:
        content = json.loads(config.read_bytes())
    except (OSError, ValueError) as error:
        return [f"{config} cannot be read: {error}; fetch the model again"]
    kind = content.get("model_type") if isinstance(content, dict) else None
    if kind is None or kind in HUB_TYPES:
        return []
    return [
        f"{folder} is a model of the type {kind!r}, which CTranslate2 does not convert; it converts "
        f"{', '.join(sorted(HUB_TYPES))}"
    ]


def copy_folder(source: Path, folder: Path) -> None:
    """Copies a CTranslate2 folder's files, all that is there but hidden ones; raises ModelError."""
    try:
        for path in sorted(source.iterdir()):
            if path.is_file() and not is_hidden(path.name) and path.name not in _NOT_COPIED:
                shutil.copyfile(path, folder / path.name)
    except OSError as error:
        raise ModelError(
            f"{source} cannot be copied: {error}; check that it can be read and the disk's space"
        ) from error


def convert_marian(path: Path, vocabularies: Sequence[Path], folder: Path, quantization: str) -> None:
    """A Marian `.npz` with its vocabularies, source first, or an OPUS-MT folder that names both; raises ModelError.

    A vocabulary may be a `.yml`, a plain list of tokens, or a SentencePiece model, which is the tokenizer, too.
    """
    from ctranslate2.converters import MarianConverter

    beside = path.parent
    if path.is_dir():
        beside, (path, *vocabularies) = path, _of_opus_mt(path)
    scratch = Path(tempfile.mkdtemp(prefix=".vocabularies-", dir=folder))
    try:
        readable = [
            str(_as_yml(vocabulary, scratch / f"{number}.yml")) for number, vocabulary in enumerate(vocabularies)
        ]
        convert(MarianConverter(str(path), readable), str(path), folder, quantization)
    finally:
        shutil.rmtree(scratch)
    models = [vocabulary for vocabulary in vocabularies if _is_sentencepiece(vocabulary)]
    if not models:
        copy_tokenizer(beside, folder)
    elif len(models) == len(vocabularies):
        for model, name in zip(models, ("source.spm", "target.spm"), strict=False):
            shutil.copyfile(model, folder / name)


def _of_opus_mt(folder: Path) -> tuple[Path, Path, Path]:
    """The model and both vocabularies that a folder's description names."""
    import yaml

    try:
        told = yaml.safe_load((folder / OPUS_MT_DESCRIPTION).read_bytes())
        source, target = told["vocabs"]
        return folder / told["models"][0], folder / source, folder / target
    except (OSError, ValueError, KeyError, TypeError, IndexError, yaml.YAMLError) as error:
        raise ModelError(f"{folder / OPUS_MT_DESCRIPTION} cannot be used: {error!r}; name the .npz instead") from error


def _is_sentencepiece(vocabulary: Path) -> bool:
    """By what it holds: Mozilla's models call it .spm, others .model or .vocab."""
    try:
        open_model(vocabulary)
    except ModelError:
        return False
    return True


def _as_yml(vocabulary: Path, path: Path) -> Path:
    """A vocabulary as CTranslate2's converter reads it: a token and its id a line."""
    if vocabulary.suffix in (".yml", ".yaml"):
        return vocabulary
    if _is_sentencepiece(vocabulary):
        model = open_model(vocabulary)
        tokens = [model.IdToPiece(number) for number in range(model.GetPieceSize())]
    else:
        try:
            tokens = vocabulary.read_text(encoding="utf-8").removesuffix("\n").split("\n")
        except (OSError, ValueError) as error:
            raise ModelError(
                f"{vocabulary} is no vocabulary of Marian ({error}); expected a .yml, a SentencePiece model, or a text "
                "with a token a line"
            ) from error
        if tokens[:2] != ["</s>", "<unk>"]:
            # As Marian has it, where the list does not hold them.
            tokens = ["</s>", "<unk>", *(token for token in tokens if token not in ("</s>", "<unk>"))]
    lines = [f"{json.dumps(token, ensure_ascii=False)}: {number}\n" for number, token in enumerate(tokens)]
    path.write_text("".join(lines), encoding="utf-8")
    return path


def convert_fairseq(
    path: Path,
    dictionaries: Path,
    source_language: str | None,
    target_language: str | None,
    folder: Path,
    quantization: str,
) -> None:
    """A fairseq checkpoint with the folder of its `dict.<language>.txt`; raises ModelError.

    Needs the library fairseq, which no longer installs by itself on the Pythons that Potstill runs on, so no test runs
    this; by hand, with the sources of its fork fairseq-fixed 0.12.3.1, a converted model translated as the original.
    Checkpoints with their options in an `argparse.Namespace` are read safely; newer ones may hold more and are refused.
    """
    import torch
    from ctranslate2.converters import FairseqConverter

    converter = FairseqConverter(str(path), str(dictionaries), source_lang=source_language, target_lang=target_language)
    with torch.serialization.safe_globals([argparse.Namespace]):
        convert(converter, str(path), folder, quantization)
    copy_tokenizer(dictionaries, folder)


def convert(converter: "Converter", name: str, folder: Path, quantization: str) -> None:
    """Fills the folder with what a converter makes; raises ModelError with what it stumbled over."""
    scratch = Path(tempfile.mkdtemp(prefix=".model-", dir=folder))
    try:
        converter.convert(str(scratch), quantization=quantization, force=True)
    except CONVERSION_ERRORS as error:
        shutil.rmtree(scratch, ignore_errors=True)
        raise ModelError(
            f"{name}: CTranslate2 cannot convert this model: {_in_words(error)}; check teacher.kind, and that the "
            "files are whole"
        ) from error
    take_model(scratch, folder)


def _in_words(error: Exception) -> str:
    """A bare key or attribute says nothing of why it is missed."""
    if isinstance(error, KeyError):
        return f"it is a variant that is not known to its converter, which looks for {error} in vain"
    if isinstance(error, AttributeError):
        return f"it is a variant that is not known to its converter ({error})"
    return str(error) or type(error).__name__


def copy_tokenizer(source: Path, folder: Path) -> None:
    """Copies a model's subword models as they are."""
    for path in tokenizer_files(source):
        shutil.copyfile(path, folder / path.name)


def tokenizer_files(folder: Path) -> list[Path]:
    """A model's subword models, which lie beside it."""
    return sorted({path for pattern in _TOKENIZER_PATTERNS for path in folder.glob(pattern) if path.is_file()})


def take_model(scratch: Path, folder: Path) -> None:
    """Moves what a converter wrote: it empties the folder it is given, so it gets one of its own."""
    for path in scratch.iterdir():
        path.replace(folder / path.name)
    scratch.rmdir()
