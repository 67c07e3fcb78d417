"""Models of the library transformers -> a CTranslate2 folder, with the same ids and the same arithmetic."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data.errors import ModelError
from stages.teacher.chat import CHAT
from stages.teacher.sources import CONVERSION_ERRORS, convert, copy_tokenizer
from stages.teacher.tags import AROUND
from stages.text.own_models import LIBRARY_FILE, MARKS

if TYPE_CHECKING:
    from ctranslate2.converters import Converter

_HUB_FILES = ("*.json", "*.jinja", "*.model", "*.spm", "*.txt")


# Rows beyond the tokens, which the converter would call by names that tokens of the model's own have.
_PADDED = ("t5", "mt5", "umt5")
# What transformers 5 knows of a family without saying it in the config, where the converter looks.
_UNTOLD = {
    "bart": {"normalize_before": False, "normalize_embedding": True},
    "mbart": {"normalize_before": True, "normalize_embedding": True},
    "pegasus": {"normalize_before": True, "normalize_embedding": False},
}


def convert_transformers(name: str, revision: str | None, folder: Path, quantization: str) -> Path:
    """A model of the library transformers, by local folder or name on the Hugging Face hub; returns where it is here.

    Its SentencePiece models come along, or its `tokenizer.json`. Code that a model brings is not run.
    Raises ModelError.
    """
    local = Path(name) if Path(name).is_dir() else _download(name, revision)
    convert(hub_converter(local), str(local), folder, quantization)
    copy_tokenizer(local, folder)
    _tell_of_tokenizer(local, folder)
    return local


def own_tokenizer(local: Path) -> Any:
    """The model's own tokenizer; raises ModelError when it cannot be read."""
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(str(local))
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


def hub_converter(local: Path) -> "Converter":
    """CTranslate2's converter, told what it gets wrong."""
    from ctranslate2.converters import TransformersConverter
    from transformers.utils import logging

    logging.disable_progress_bar()

    class AsTheModelHasIt(TransformersConverter):  # type: ignore[misc]
        """Its vocabulary by the model's ids, the scale of its outputs and its first token as its config says."""

        def load_model(self, model_class: Any, name: str, **options: Any) -> Any:
            self.model = super().load_model(model_class, name, **options)
            for key, value in _UNTOLD.get(self.model.config.model_type, {}).items():
                if not hasattr(self.model.config, key):
                    setattr(self.model.config, key, value)
            return self.model

        def load_tokenizer(self, tokenizer_class: Any, name: str, **options: Any) -> Any:
            tokenizer = super().load_tokenizer(tokenizer_class, name, **options)
            vocabulary = _by_ids(tokenizer, self.model)
            tokenizer.get_vocab = lambda: vocabulary
            return tokenizer

        def _load(self) -> Any:
            spec = super()._load()
            if hasattr(spec, "decoder") and hasattr(spec.decoder, "scale_outputs"):
                _scale_outputs(spec.decoder, self.model)
            _complete(spec.config, self.model)
            return spec

    return AsTheModelHasIt(str(local))


def _by_ids(tokenizer: Any, model: Any) -> dict[str, int]:
    """The token of each id, where the converter puts tokens one after the other: without gaps, none of them twice.

    transformers 5 keeps M2M-100's language tags out of the vocabulary. T5's models have more rows than tokens, which
    the converter calls <extra_id_0> and so on: so are tokens of its own called.
    """
    vocabulary = {**getattr(tokenizer, "lang_token_to_id", {}), **tokenizer.get_vocab()}
    taken = set(vocabulary.values())
    rows = model.config.vocab_size if model.config.model_type in _PADDED else max(taken, default=-1) + 1
    unused = {f"<unused:{number}>": number for number in range(rows) if number not in taken}
    return {**vocabulary, **unused}


def _scale_outputs(decoder: Any, model: Any) -> None:
    """T5's outputs are scaled where its config says so; CTranslate2 scales those of all whose weights are tied."""
    from ctranslate2.specs.model_spec import OPTIONAL

    # mT5 has no such key: its outputs never are.
    if model.config.model_type in ("t5", "mt5"):
        scaled = getattr(model.config, "scale_decoder_outputs", False)
        decoder.scale_outputs = model.config.d_model**-0.5 if scaled else OPTIONAL


def _complete(config: Any, model: Any) -> None:
    """What CTranslate2 wants to be told and does not find in every tokenizer: mBART-50's has no beginning."""
    if config.eos_token is None:
        raise ValueError("its tokenizer names no token for the end of a text (eos_token)")
    if getattr(config, "bos_token", "") is None:
        config.bos_token = config.eos_token
    if getattr(config, "unk_token", "") is None:
        config.unk_token = ""
    start = model.config.get_text_config(decoder=True)
    if getattr(config, "decoder_start_token", "") is None and _starts_with_end(model, start):
        config.decoder_start_token = config.eos_token


def _starts_with_end(model: Any, config: Any) -> bool:
    generation = getattr(model, "generation_config", None)
    start = getattr(generation, "decoder_start_token_id", None) or getattr(config, "decoder_start_token_id", None)
    return start is not None and start == getattr(config, "eos_token_id", None)


def _tell_of_tokenizer(local: Path, folder: Path) -> None:
    tokenizer = own_tokenizer(local)
    added = getattr(tokenizer, "added_tokens_decoder", {}).values()
    marks = {*tokenizer.all_special_tokens, *(token.content for token in added if token.special)}
    (folder / MARKS).write_text(json.dumps(sorted(marks), ensure_ascii=False, indent=0) + "\n", encoding="utf-8")
    before, after = around(tokenizer)
    (folder / AROUND).write_text(json.dumps([before, after], ensure_ascii=False) + "\n", encoding="utf-8")
    template = getattr(tokenizer, "chat_template", None)
    if isinstance(template, dict):  # several, by what they are for
        template = template.get("default")
    if template:
        told = {"template": template, "bos_token": tokenizer.bos_token, "eos_token": tokenizer.eos_token}
        (folder / CHAT).write_text(json.dumps(told, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    backend = getattr(tokenizer, "backend_tokenizer", None)
    # Not the file beside the model: transformers makes some of its tokenizers anew as it reads them.
    if backend is not None:
        backend.save(str(folder / LIBRARY_FILE))


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
