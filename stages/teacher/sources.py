"""Models of other toolkits -> a CTranslate2 folder, through CTranslate2's own converters; no model may run code."""

import argparse
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from data.errors import ModelError
from data.fingerprint import is_hidden

if TYPE_CHECKING:
    from ctranslate2.converters import Converter

# Files from which subwords are made, under the names that toolkits give them.
_TOKENIZER_PATTERNS = ("*.spm", "*.model", "*.vocab", "tokenizer.json")
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
