"""The subword models that lie beside a model of another toolkit, under the names that toolkits give them."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from data.errors import ModelError
from data.local import storage_faults, write_atomically
from stages.text.codes_model import is_codes_file
from stages.text.library_model import is_library_file, read_library_file, special_tokens
from stages.text.marks import looks_special
from stages.text.sentencepiece_model import open_model
from stages.text.tokenizer import (
    DESCRIPTION,
    LIBRARY_MODEL,
    SOURCE_CODES,
    SOURCE_MODEL,
    TARGET_CODES,
    TARGET_MODEL,
    Tokenizer,
    describe,
    load_tokenizer,
)

# The source side first.
_TEACHER_NAMES = ((SOURCE_MODEL, TARGET_MODEL), ("source.model", "target.model"))
_SHARED_NAMES = ("sentencepiece*.model", "spm*.model", "spiece*.model", "tokenizer.model", "*.spm")
# Of the library tokenizers, where there is no model of SentencePiece: what is exported for a phone reads none of them.
LIBRARY_FILE = "tokenizer.json"
# Special tokens of a teacher's format, which its stage wrote down.
MARKS = "special_tokens.json"
_CONFIG, _TEMPLATE = "tokenizer_config.json", "chat_template.jinja"


def find_models(folder: Path) -> tuple[Path, Path | None]:
    """A teacher's own source and target model, the latter None when it is shared; raises ModelError without any."""
    for source, target in _TEACHER_NAMES:
        if (folder / source).is_file():
            return folder / source, folder / target if (folder / target).is_file() else None
    found = [path for pattern in _SHARED_NAMES for path in sorted(folder.glob(pattern))]
    if not found and is_library_file(folder / LIBRARY_FILE):
        return folder / LIBRARY_FILE, None
    if not found:
        names = ", ".join(sorted(path.name for path in folder.iterdir())[:20])
        raise ModelError(
            f"{folder} has no SentencePiece model ({SOURCE_MODEL}, {TARGET_MODEL} or {', '.join(_SHARED_NAMES)}) and "
            f"no {LIBRARY_FILE} of the library tokenizers; it has {names}; set kind = 'file' in [tokenizer] and name "
            "the models"
        )
    return found[0], None


def copy_models(source: Path, target: Path | None, folder: Path) -> None:
    """Copies them under the names that a tokenizer's folder has; raises ModelError when they are none."""
    if source.suffix == ".json":
        read_library_file(source)
        with storage_faults(folder):
            shutil.copyfile(source, folder / LIBRARY_MODEL)
        return
    if is_codes_file(source):
        with storage_faults(folder):
            shutil.copyfile(source, folder / SOURCE_CODES)
            if target:
                shutil.copyfile(target, folder / TARGET_CODES)
        return
    open_model(source)
    with storage_faults(folder):
        shutil.copyfile(source, folder / SOURCE_MODEL)
        if target:
            open_model(target)
            shutil.copyfile(target, folder / TARGET_MODEL)


def marks_of(teacher: Path) -> list[str]:
    """Special tokens of a teacher's format; none where its folder does not tell."""
    if (teacher / MARKS).is_file():
        marks: list[str] = json.loads((teacher / MARKS).read_bytes())
        return marks
    template = _chat_template(teacher)
    if is_library_file(teacher / LIBRARY_FILE):
        content = read_library_file(teacher / LIBRARY_FILE)
        added = [entry["content"] for entry in content.get("added_tokens", [])]
        return list(dict.fromkeys([*special_tokens(content), *spelled_marks(added, template)]))
    try:
        added = _content(teacher / _CONFIG).get("added_tokens_decoder", {}).values()
        special = [token["content"] for token in added if token.get("special")]
        return list(dict.fromkeys([*special, *spelled_marks([token["content"] for token in added], template)]))
    except (KeyError, AttributeError, TypeError) as error:
        raise ModelError(f"{teacher / _CONFIG} cannot be read: {error!r}; fetch it again or remove it") from error


def spelled_marks(added: Sequence[str], template: str) -> list[str]:
    """Of a model's added tokens those that its chat template spells: <think> is a mark, though not called special."""
    return [token for token in added if token in template and looks_special(token)]


def _chat_template(teacher: Path) -> str:
    path = teacher / _TEMPLATE
    found = path.read_text(encoding="utf-8") if path.is_file() else _content(teacher / _CONFIG).get("chat_template")
    return found if isinstance(found, str) else ""


def _content(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        content: dict[str, Any] = json.loads(path.read_bytes())
        return {**content}
    except (OSError, ValueError, TypeError) as error:
        raise ModelError(f"{path} cannot be read: {error!r}; fetch it again or remove it") from error


def write_description(
    folder: Path, kind: str, marks: Sequence[str] = (), *, own: bool = False, moses: Sequence[str] = ()
) -> Tokenizer:
    """Makes the folder, with its models in it, a tokenizer's; a library's file tells its own marks where none are."""
    if moses and not (folder / SOURCE_CODES).exists():
        raise ModelError("tokenizer.moses: words are cut by Moses' rules for lists of merges alone; leave it out")
    if not marks and (folder / LIBRARY_MODEL).exists():
        marks = special_tokens(read_library_file(folder / LIBRARY_MODEL))
    write_atomically(
        folder / DESCRIPTION, json.dumps(describe(folder, kind, marks, own=own, moses=moses), indent=1).encode()
    )
    return load_tokenizer(folder)


def tokenizer_of(teacher: Path, folder: Path) -> Tokenizer:
    """What [tokenizer] kind = 'teacher' makes of a teacher's folder, in an empty one; raises ModelError."""
    copy_models(*find_models(teacher), folder)
    return write_description(folder, "teacher", marks_of(teacher), own=True)
