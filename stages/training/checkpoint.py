"""Checkpoints: the model as OpenNMT-py keeps it, and the state that a killed training goes on from."""

import argparse
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import Tensor

from data.errors import ModelError
from data.local import TEMPORARY_SUFFIX, storage_faults, sync
from stages.training.model import Transformer, restore_transformer, vocabulary_entry


def save_model(path: Path, model: Transformer, weights: Sequence[Tensor] | None = None) -> None:
    """Writes an OpenNMT-py checkpoint without optimiser; `weights` stand in for the parameters, in their order."""
    save(path, content_of(model, weights))


def content_of(model: Transformer, weights: Sequence[Tensor] | None = None) -> dict[str, Any]:
    """What `save_model` writes."""
    module = model.module
    state = {name: value.detach() for name, value in module.state_dict().items()}
    if weights is not None:
        averages = {id(parameter): value for parameter, value in zip(module.parameters(), weights, strict=True)}
        for name, parameter in module.named_parameters(remove_duplicate=False):
            state[name] = averages[id(parameter)]
    # One copy on the CPU for each tensor, however many names it has: the file keeps tied weights once.
    copies = {value.data_ptr(): value.cpu() for value in state.values()}
    state = {name: copies[value.data_ptr()] for name, value in state.items()}
    prefix = "generator."
    return {
        "model": {name: value for name, value in state.items() if not name.startswith(prefix)},
        "generator": {name[len(prefix) :]: value for name, value in state.items() if name.startswith(prefix)},
        "vocab": vocabulary_entry(model.source_vocabulary, model.target_vocabulary, model.options),
        "opt": model.options,
    }


def load_model(path: Path, device: str) -> Transformer:
    """A model from an OpenNMT-py checkpoint, in evaluation mode, in float32; raises ModelError when it is none."""
    content = load(path)
    try:
        return restore_transformer(content, device)
    except (KeyError, AttributeError, RuntimeError, ValueError, AssertionError, TypeError) as error:
        raise ModelError(
            f"{path} is no checkpoint of an OpenNMT-py transformer that can be read here: {error!r}"
        ) from error


def save(path: Path, content: dict[str, Any]) -> None:
    """Writes the whole file or leaves what was there: another name first, flushed to disk, then renamed.

    Raises PotstillError when the disk is full.
    """
    temporary = path.with_name(f".{path.name.lstrip('.')}{TEMPORARY_SUFFIX}")
    with storage_faults(path):
        try:
            with temporary.open("wb") as file:
                _write(content, file)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        sync(path.parent)


def _write(content: dict[str, Any], file: BinaryIO) -> None:
    try:
        torch.save(content, file)
    except RuntimeError as error:  # with which torch covers up the fault of the disk
        if isinstance(error.__context__, OSError):
            raise error.__context__ from None
        raise


def load(path: Path) -> dict[str, Any]:
    """What `save` wrote. Runs no code from the file; raises ModelError when it cannot be read."""
    try:
        with torch.serialization.safe_globals([argparse.Namespace]):
            content: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises whatever the broken file makes its unpickler raise
        raise ModelError(f"{path} cannot be read as a checkpoint: {error}") from error
    return content
