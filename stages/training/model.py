"""The model: OpenNMT-py's transformer, built from our config."""

import argparse
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from stages.training.config import ModelConfig
from stages.training.opennmt import ArgumentParser, build_base_model, build_model, model_opts, vocabularies
from stages.training.vocabulary import BEGIN, SEPARATOR, Vocabulary

# OpenNMT-py's name of the task.
LANGUAGE_MODEL = "lm"
_FLASH_ATTENTION, _PLAIN_ATTENTION = "scaled-dot-flash", "scaled-dot"


@dataclass(frozen=True)
class Transformer:
    """A model with all that its checkpoint must name: `module(src, tgt, srclen)` gives [B, T, D].

    A language model reads `src` alone, [B, S], and gives [B, S, D].
    """

    module: Any
    options: argparse.Namespace
    source_vocabulary: Vocabulary
    target_vocabulary: Vocabulary

    def parameters(self) -> int:
        """Number of weights, shared ones once."""
        return sum(parameter.numel() for parameter in self.module.parameters())

    @property
    def separator(self) -> int | None:
        """Id of what is between a language model's source and target; None for an encoder-decoder model."""
        return self.target_vocabulary.tokens.index(SEPARATOR) if self.options.model_task == LANGUAGE_MODEL else None


def build_transformer(
    config: ModelConfig,
    source_vocabulary: Vocabulary,
    target_vocabulary: Vocabulary,
    device: str,
    *,
    decoder_only: bool = False,
) -> Transformer:
    """A new model on `device`, its weights drawn from torch's random state (Glorot).

    `decoder_only`: a language model, of the decoder's layers and one vocabulary, which holds the separator.
    """
    options = model_options(config, shared=source_vocabulary == target_vocabulary, decoder_only=decoder_only)
    entry = vocabulary_entry(source_vocabulary, target_vocabulary, options)
    module = build_model(options, options, vocabularies(entry), None, -1).to(torch.device(device))
    return Transformer(module, options, source_vocabulary, target_vocabulary)


def restore_transformer(content: Mapping[str, Any], device: str) -> Transformer:
    """The model of an OpenNMT-py checkpoint's content, in float32, frozen: it computes the same on every device.

    Who trains copies its weights into a model that `build_transformer` made, which has its dropout.
    Raises whatever OpenNMT-py stumbles over when it is none: KeyError, AttributeError, RuntimeError and others.
    """
    options = ArgumentParser.ckpt_model_opts(content["opt"])
    ArgumentParser.update_model_opts(options)
    module = build_base_model(options, vocabularies(content["vocab"]))
    # A copy of the dictionaries: OpenNMT-py empties them while it reads.
    parts = {name: dict(content[name]) for name in ("model", "generator")}
    module.load_state_dict(parts, precision=torch.float32, device=torch.device(device), strict=True)
    source, target = (Vocabulary(tuple(content["vocab"][side])) for side in ("src", "tgt"))
    module = module.to(torch.device(device)).eval()
    _still(module)
    return Transformer(module, options, source, target)


def _still(module: Any) -> None:
    """Takes out what evaluation mode alone leaves in.

    OpenNMT-py's flash attention, its default on a GPU, drops whether it trains or not, shows no maps, and refuses the
    mask of a decoder's padded batch; the plain one computes the same with the same weights.
    """
    for part in module.modules():
        if hasattr(part, "dropout_p"):
            part.dropout_p = 0.0
        if getattr(part, "self_attn_type", None) == _FLASH_ATTENTION:
            part.self_attn_type = _PLAIN_ATTENTION


def vocabulary_entry(source: Vocabulary, target: Vocabulary, options: argparse.Namespace) -> dict[str, Any]:
    """What an OpenNMT-py checkpoint holds under `vocab`."""
    return {
        "src": list(source.tokens),
        "tgt": list(target.tokens),
        "data_task": options.model_task,
        "decoder_start_token": BEGIN,
    }


def model_options(config: ModelConfig, *, shared: bool, decoder_only: bool = False) -> argparse.Namespace:
    """OpenNMT-py's options for this model; `shared` says that both vocabularies are one."""
    options: argparse.Namespace = ArgumentParser.defaults(model_opts)
    kind = {"encoder_type": "transformer_lm", "decoder_type": "transformer_lm", "model_task": LANGUAGE_MODEL}
    for name, value in (_options(config, shared=shared) | (kind if decoder_only else {})).items():
        setattr(options, name, value)
    return options


def _options(config: ModelConfig, *, shared: bool) -> dict[str, Any]:
    return {
        "encoder_type": "transformer",
        "decoder_type": "transformer",
        "enc_layers": config.encoder_layers,
        "dec_layers": config.decoder_layers,
        "hidden_size": config.width,
        "enc_hid_size": config.width,
        "dec_hid_size": config.width,
        "word_vec_size": config.width,
        "src_word_vec_size": config.width,
        "tgt_word_vec_size": config.width,
        "heads": config.heads,
        "transformer_ff": config.feed_forward,
        "add_ffnbias": True,
        "position_encoding": True,
        "dropout": [config.dropout],
        "attention_dropout": [config.attention_dropout],
        # CTranslate2 refuses OpenNMT-py's default, the flash one; the weights are the same.
        "self_attn_type": _PLAIN_ATTENTION,
        "share_embeddings": shared and config.share_embeddings,
        "share_vocab": shared,
        "share_decoder_embeddings": config.tie_output,
        "param_init": 0.0,
        "param_init_glorot": True,
        "optim": "adam",
        "freeze_word_vecs_enc": False,
        "freeze_word_vecs_dec": False,
        "pre_word_vecs_enc": None,
        "pre_word_vecs_dec": None,
        "parallel_mode": "data_parallel",
        "world_size": 1,
        "gpu_ranks": [],
    }
