"""A batch as the Trainer wants it."""

from typing import Any

import numpy as np
import torch

from stages.training.batches.batches import Batch, joined
from stages.training.batches.mixture import Place
from stages.training.objective.online_config import Over

TorchBatch = dict[str, Any]


def to_torch(batch: Batch, following: Place | None, device: str, separator: int | None = None) -> TorchBatch:
    """A batch as the Trainer wants it, with what our loss reads beside it; [B, S, 1], [B, 1 + T, 1], [B].

    With a `separator` the source goes on with it and the target, for a language model.
    """
    flat = batch.tgt[:, 1:].ravel()
    learned = np.flatnonzero(np.arange(batch.tgt.shape[1] - 1) < batch.tgtlen[:, None])
    source, places = (batch.src, learned) if separator is None else joined(batch, separator)
    tensors = {
        "src": torch.from_numpy(source).long().unsqueeze(2),
        "tgt": torch.from_numpy(batch.tgt).long().unsqueeze(2),
        "srclen": torch.from_numpy(batch.srclen),
        "tgtlen": torch.from_numpy(batch.tgtlen),
        "places": torch.from_numpy(places),
        "targets": torch.from_numpy(flat[learned]).long(),
    }
    tensors |= {name: torch.from_numpy(values) for name, values in batch.soft.items()}
    if "kd_ids" in tensors:
        tensors["kd_ids"] = tensors["kd_ids"].long()
    if device != "cpu":
        tensors = {name: value.pin_memory().to(device, non_blocking=True) for name, value in tensors.items()}
    if separator is None:
        # So that no mask asks the device for it.
        tensors["srclen"].longest = batch.src.shape[1]  # type: ignore[attr-defined]
    tokens = batch.target_tokens
    positions: dict[Over, int] = {"encoder": int(batch.srclen.sum()), "decoder": tokens, "batch": 1}
    told = {"stream": batch.stream, "rows": len(batch.srclen), "tokens": tokens, "fill": batch.fill}
    return {**tensors, **told, "positions": positions, "following": following}
