"""Models of other toolkits -> a CTranslate2 folder, through CTranslate2's own converters; no model may run code."""

import argparse
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data.errors import ModelError
from data.fingerprint import is_hidden

if TYPE_CHECKING:
    from ctranslate2.converters import Converter

# Files from which subwords are made, under the names that toolkits give them.
_TOKENIZER_PATTERNS = ("*.spm", "*.model", "*.vocab", "tokenizer.json")
_HUB_FILES = ("*.json", "*.model", "*.spm", "*.txt")
OPUS_MT_DESCRIPTION = "decoder.yml"
# A manifest would be taken for the artefact's own.
_NOT_COPIED = ("manifest.json",)
# What converters raise of models that they cannot read or that CTranslate2 cannot run.
_CONVERSION_ERRORS = (
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


def convert_transformers(name: str, revision: str | None, folder: Path, quantization: str) -> None:
    """A model of the library transformers, by local folder or name on the Hugging Face hub.

    Its SentencePiece models come along. Code that a model brings is not run. Raises ModelError.
    """
    local = Path(name) if Path(name).is_dir() else _download(name, revision)
    converter = _transformers_converter(local)
    _convert(converter, str(local), folder, quantization)
    copy_tokenizer(local, folder)


def convert_marian(path: Path, vocabularies: Sequence[Path], folder: Path, quantization: str) -> None:
    """A Marian `.npz` with its vocabularies, source first, or an OPUS-MT folder that names both; raises ModelError."""
    from ctranslate2.converters import MarianConverter, OpusMTConverter

    if path.is_dir():
        try:
            converter = OpusMTConverter(str(path))
        except _CONVERSION_ERRORS as error:
            raise ModelError(
                f"{path / OPUS_MT_DESCRIPTION} cannot be used: {error!r}; name the .npz instead"
            ) from error
        copy_tokenizer(path, folder)
    else:
        converter = MarianConverter(str(path), [str(vocabulary) for vocabulary in vocabularies])
        copy_tokenizer(path.parent, folder)
    _convert(converter, str(path), folder, quantization)


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
        _convert(converter, str(path), folder, quantization)
    copy_tokenizer(dictionaries, folder)


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


def _convert(converter: "Converter", name: str, folder: Path, quantization: str) -> None:
    scratch = Path(tempfile.mkdtemp(prefix=".model-", dir=folder))
    try:
        converter.convert(str(scratch), quantization=quantization, force=True)
    except _CONVERSION_ERRORS as error:
        shutil.rmtree(scratch, ignore_errors=True)
        raise ModelError(
            f"{name}: CTranslate2 cannot convert this model: {error or type(error).__name__}; check teacher.kind, and "
            "that the files are whole"
        ) from error
    take_model(scratch, folder)


def _transformers_converter(local: Path) -> "Converter":
    from ctranslate2.converters import TransformersConverter
    from transformers.utils import logging

    logging.disable_progress_bar()

    class WithLanguageTags(TransformersConverter):  # type: ignore[misc]
        """transformers 5 keeps M2M-100's language tags out of the vocabulary, where the converter looks for them."""

        def load_tokenizer(self, tokenizer_class: Any, name: str, **options: Any) -> Any:
            tokenizer = tokenizer_class.from_pretrained(name, **options)
            tags = getattr(tokenizer, "lang_token_to_id", {})
            known = tokenizer.get_vocab
            tokenizer.get_vocab = lambda: {**tags, **known()}
            return tokenizer

    return WithLanguageTags(str(local))


def _download(name: str, revision: str | None) -> Path:
    """A snapshot of a hub model in the user's cache: its safe weights, and others only where there are none."""
    from huggingface_hub import snapshot_download

    try:
        for weights in ("*.safetensors", "*.bin"):
            local = Path(snapshot_download(name, revision=revision, allow_patterns=[*_HUB_FILES, weights]))
            if any(local.glob(weights)):
                return local
    except _CONVERSION_ERRORS as error:
        raise ModelError(
            f"{name} is no folder here and cannot be fetched from the Hugging Face hub: {error}; check teacher.path "
            "and the network, or fetch it elsewhere and name the folder"
        ) from error
    raise ModelError(f"{name}: the Hugging Face hub has no weights of it for PyTorch; name another model")
