"""CTranslate2's converter of models of the library transformers, told what it gets wrong."""

import warnings
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ctranslate2.converters import Converter

# Rows beyond the tokens, which the converter would call by names that tokens of the model's own have, or not at all;
# decoder-only models likewise.
_PADDED = ("t5", "mt5", "umt5")
# What transformers 5 knows of a family without saying it in the config, where the converter looks.
_UNTOLD = {
    "bart": {"normalize_before": False, "normalize_embedding": True},
    "mbart": {"normalize_before": True, "normalize_embedding": True},
    "pegasus": {"normalize_before": True, "normalize_embedding": False},
}


def hub_converter(local: Path) -> "Converter":
    """CTranslate2's converter, told what it gets wrong."""
    from ctranslate2.converters import TransformersConverter
    from transformers.utils import logging

    logging.disable_progress_bar()

    class AsTheModelHasIt(TransformersConverter):  # type: ignore[misc]
        """Its vocabulary by the model's ids, the scale of its outputs and its first token as its config says."""

        def load_model(self, model_class: Any, name: str, **options: Any) -> Any:
            # Said, since transformers would ask at the terminal.
            self.model = super().load_model(model_class, name, **{"trust_remote_code": False, **options})
            _tell(self.model)
            return self.model

        def load_tokenizer(self, tokenizer_class: Any, name: str, **options: Any) -> Any:
            tokenizer = super().load_tokenizer(tokenizer_class, name, **{"trust_remote_code": False, **options})
            vocabulary = _by_ids(tokenizer, self.model)
            tokenizer.get_vocab = lambda: vocabulary
            return tokenizer

        def _load(self) -> Any:
            spec = super()._load()
            if hasattr(spec, "decoder") and hasattr(spec.decoder, "scale_outputs"):
                _scale_outputs(spec.decoder, self.model)
            _complete(spec.config, self.model)
            _keep_epsilon(spec.config, self.model.config)
            _keep_scaling(spec, self.model.config)
            return spec

    return AsTheModelHasIt(str(local))


def _tell(model: Any) -> None:
    """What newer versions of transformers keep elsewhere, by the names under which the converter looks for it."""
    config = getattr(model.config, "text_config", model.config)
    rotary = getattr(config, "rope_parameters", None) or {}
    # A table for each kind of layer where they differ.
    whole, local = rotary.get("full_attention", rotary), rotary.get("sliding_attention", {})
    told = {
        **_UNTOLD.get(config.model_type, {}),
        "rope_theta": whole.get("rope_theta"),
        "rope_local_base_freq": local.get("rope_theta"),
        "rotary_pct": whole.get("partial_rotary_factor"),
    }
    for key, value in told.items():
        if value is not None and not hasattr(config, key):
            setattr(config, key, value)
    if config.model_type == "gpt_neox" and not hasattr(model, "embed_out"):
        model.embed_out = model.get_output_embeddings()
    if config.model_type == "phi3":
        _tell_of_phi3(model, rotary)


def _tell_of_phi3(model: Any, rotary: Mapping[str, Any]) -> None:
    """Its converter alone takes what is not scaled for a way to scale, by an older key, and looks into each layer."""
    scaled = rotary.get("rope_type", "default") != "default"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        model.config.rope_scaling = {**rotary, "type": rotary["rope_type"]} if scaled else None
    factors = {name: rotary.get(name) for name in ("long_factor", "short_factor")}
    for layer in model.model.layers:
        layer.self_attn.rotary_emb = SimpleNamespace(**factors)


def _keep_scaling(spec: Any, config: Any) -> None:
    """How far Llama 3.1 stretches positions, which CTranslate2 reads and its converter does not write."""
    import numpy as np
    from ctranslate2.specs.attention_spec import RotaryScalingType

    told = getattr(config, "rope_parameters", None) or {}
    for layer in getattr(getattr(spec, "decoder", None), "layer", []):
        attention = layer.self_attention
        if getattr(attention, "rotary_scaling_type", None) == int(RotaryScalingType.Llama3):
            # A specification takes no names but those that it was made with.
            vars(attention).setdefault("rotary_scaling_factor", np.float32(told["factor"]))
            original = np.int32(told["original_max_position_embeddings"])
            vars(attention).setdefault("original_max_position_embeddings", original)


def _keep_epsilon(config: Any, original: Any) -> None:
    """What is added to a variance before its root, where the converter leaves CTranslate2's own."""
    names = ("layer_norm_epsilon", "layer_norm_eps", "rms_norm_eps")
    found = (getattr(original.get_text_config(decoder=True), name, None) for name in names)
    if getattr(config, "layer_norm_epsilon", "") is None:
        config.layer_norm_epsilon = next((value for value in found if value is not None), None)


def _by_ids(tokenizer: Any, model: Any) -> dict[str, int]:
    """The token of each id, where the converter puts tokens one after the other: without gaps, none of them twice.

    transformers 5 keeps M2M-100's language tags out of the vocabulary. T5's models have more rows than tokens, which
    the converter calls <extra_id_0> and so on: so are tokens of its own called.
    """
    vocabulary = {**getattr(tokenizer, "lang_token_to_id", {}), **tokenizer.get_vocab()}
    taken = set(vocabulary.values())
    config = getattr(model.config, "text_config", model.config)
    padded = config.model_type in _PADDED or not getattr(model.config, "is_encoder_decoder", False)
    rows = max(config.vocab_size if padded else 0, max(taken, default=-1) + 1)
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
