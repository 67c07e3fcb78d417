"""Models of the library transformers -> a CTranslate2 folder, with the same ids and the same arithmetic."""

import json
from pathlib import Path
from typing import Any

from data.errors import ModelError
from stages.teacher.chat import CHAT
from stages.teacher.hub_converter import hub_converter
from stages.teacher.hub_folder import hub_model_faults
from stages.teacher.sources import CONVERSION_ERRORS, convert, copy_tokenizer
from stages.teacher.tags import AROUND
from stages.text.own_models import LIBRARY_FILE, MARKS, spelled_marks

_HUB_FILES = ("*.json", "*.jinja", "*.model", "*.spm", "*.txt")


def convert_transformers(name: str, revision: str | None, folder: Path, quantization: str) -> Path:
    """A model of the library transformers, by local folder or name on the Hugging Face hub; returns where it is here.

    Its SentencePiece models come along, or its `tokenizer.json`. Code that a model brings is not run.
    Raises ModelError.
    """
    local = Path(name) if Path(name).is_dir() else _download(name, revision)
    if faults := hub_model_faults(local):
        raise ModelError("; ".join(faults))
    convert(hub_converter(local), str(local), folder, quantization)
    copy_tokenizer(local, folder)
    _tell_of_tokenizer(local, folder)
    return local


def own_tokenizer(local: Path) -> Any:
    """The model's own tokenizer; raises ModelError when it cannot be read."""
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(str(local), trust_remote_code=False)
    except CONVERSION_ERRORS as error:
        raise ModelError(f"{local}: its tokenizer cannot be read by transformers: {error}; check its files") from error


def around(tokenizer: Any) -> tuple[list[str], list[str]]:
    """The tokens that a model's own tokenizer puts before and after a text; a language tag is that of its default."""
    inner = tokenizer("a", add_special_tokens=False).input_ids
    whole = tokenizer("a").input_ids
    places = [start for start in range(len(whole)) if whole[start : start + len(inner)] == inner]
    start = places[0] if places and inner else 0
    tokens = tokenizer.convert_ids_to_tokens
    return tokens(whole[:start]), tokens(whole[start + len(inner) :])


def _tell_of_tokenizer(local: Path, folder: Path) -> None:
    tokenizer = own_tokenizer(local)
    template = _chat_template(tokenizer)
    added = getattr(tokenizer, "added_tokens_decoder", {}).values()
    marks = {*tokenizer.all_special_tokens, *(token.content for token in added if token.special)}
    marks |= set(spelled_marks([token.content for token in added], template))
    (folder / MARKS).write_text(json.dumps(sorted(marks), ensure_ascii=False, indent=0) + "\n", encoding="utf-8")
    before, after = around(tokenizer)
    (folder / AROUND).write_text(json.dumps([before, after], ensure_ascii=False) + "\n", encoding="utf-8")
    if template:
        told = {"template": template, "bos_token": tokenizer.bos_token, "eos_token": tokenizer.eos_token}
        (folder / CHAT).write_text(json.dumps(told, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    backend = getattr(tokenizer, "backend_tokenizer", None)
    # Not the file beside the model: transformers makes some of its tokenizers anew as it reads them.
    if backend is not None:
        backend.save(str(folder / LIBRARY_FILE))


def _chat_template(tokenizer: Any) -> str:
    template = getattr(tokenizer, "chat_template", None)
    if isinstance(template, dict):  # several, by what they are for
        template = template.get("default")
    return template or ""


def _download(name: str, revision: str | None) -> Path:
    """A snapshot of a hub model in the user's cache: its safe weights, and others only where there are none."""
    from huggingface_hub import snapshot_download

    try:
        for weights in ("*.safetensors", "*.bin"):
            local = Path(snapshot_download(name, revision=revision, allow_patterns=[*_HUB_FILES, weights]))
            if any(local.glob(weights)):
                return local
    except CONVERSION_ERRORS as error:
        raise ModelError(
            f"{name} is no folder here and cannot be fetched from the Hugging Face hub: {error}; check teacher.path "
            "and the network, or fetch it elsewhere and name the folder"
        ) from error
    raise ModelError(f"{name}: the Hugging Face hub has no weights of it for PyTorch; name another model")
