"""How near stored log-probabilities are to those that the same weights give in a wider type."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from bench.fixtures import Fixture
from data.model_folder import CHECKPOINT_FILE, load_teacher_info
from data.soft_targets import unpack
from stages.text.tokenizer import load_tokenizer


def nearness(fixture: Fixture, table: pa.Table, soft: pa.Table) -> dict[str, Any]:
    """Largest and mean difference of kept log-probabilities, and the share of positions with the same first entry.

    Compared with PyTorch in float64 where the teacher has a checkpoint, else with CTranslate2 in float32.
    """
    sources = load_tokenizer(fixture.tokenizer()).encode_source(table["source"].to_pylist())
    targets = table["target_tokens"].to_pylist()
    checkpoint = fixture.teacher() / CHECKPOINT_FILE
    wide = _in_float64(checkpoint) if checkpoint.is_file() else _in_float32(fixture.teacher())
    differences, same = [], []
    for source, target, row in zip(sources, targets, unpack(soft), strict=True):
        expected = wide(source, target)
        ids = row.topk_ids.astype(np.int64)
        kept = np.take_along_axis(expected, ids, axis=1)
        differences.append(np.abs(row.topk_log_probs - kept).ravel())
        same.append(ids[:, 0] == expected.argmax(axis=1))
    every = np.concatenate(differences)
    return {
        "compared_in": "float64, PyTorch" if checkpoint.is_file() else "float32, CTranslate2",
        "largest_difference": float(every.max()),
        "mean_difference": float(every.mean()),
        "same_top1": float(np.concatenate(same).mean()),
    }


def _in_float64(checkpoint: Path) -> Any:
    """log_softmax [T, V] of one sentence, by OpenNMT-py's own model."""
    import torch

    from stages.training.checkpoint import load_model

    model = load_model(checkpoint, "cpu")
    module = model.module.double().eval()
    places = {token: place for place, token in enumerate(model.target_vocabulary.tokens)}

    def log_probs(source: Sequence[str], target: Sequence[str]) -> npt.NDArray[np.float64]:
        src = torch.tensor([places.get(token, 0) for token in source])[None, :, None]
        tgt = torch.tensor([places.get(token, 0) for token in ("<s>", *target, "</s>")])[None, :, None]
        with torch.no_grad():
            states, _ = module(src, tgt, torch.tensor([len(source)]))
            found: npt.NDArray[np.float64] = torch.log_softmax(module.generator(states[0]), dim=-1).numpy()
        return found

    return log_probs


def _in_float32(folder: Path) -> Any:
    """The same of a teacher without a checkpoint, by CTranslate2."""
    import ctranslate2

    translator = ctranslate2.Translator(str(folder), compute_type="float32")
    info = load_teacher_info(folder)

    def log_probs(source: Sequence[str], target: Sequence[str]) -> npt.NDArray[np.float64]:
        around = [*info.source_prefix, *source, *info.source_suffix]
        prefix = [*info.target_prefix, *target]
        result = translator.translate_batch(
            [around], target_prefix=[prefix], beam_size=1, max_decoding_length=len(prefix) + 1,
            min_decoding_length=0, return_scores=True, return_logits_vocab=True,
        )[0]  # fmt: skip
        steps = result.logits[0][len(info.target_prefix) : len(prefix) + 1]
        logits = np.stack([np.asarray(step).reshape(-1) for step in steps]).astype(np.float64)
        highest = logits.max(axis=1, keepdims=True)
        found: npt.NDArray[np.float64] = logits - highest - np.log(np.exp(logits - highest).sum(axis=1, keepdims=True))
        return found

    return log_probs
