"""Small models, batches of toy sentences and what a plain forward pass of them computes, layer by layer."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from stages.training.batches.batches import Batch, Position
from stages.training.config import ModelConfig
from stages.training.model import Transformer, build_transformer
from stages.training.tensors import to_torch
from stages.training.vocabulary import Vocabulary
from tests.stages.training.toy import WORDS

VOCABULARY = Vocabulary.from_tokens(WORDS)
# Without dropout, so that a training step computes what an evaluation does.
SMALL = ModelConfig(
    encoder_layers=2, decoder_layers=2, width=16, heads=2, feed_forward=24, dropout=0.0, attention_dropout=0.0
)
LARGE = SMALL.model_copy(update={"encoder_layers": 4, "decoder_layers": 3, "width": 24, "heads": 3})
ROWS = (([4, 5, 6, 9], [7, 3]), ([8], [9, 10, 11, 12, 3]), ([5, 9], [4, 4, 3]), ([14, 4, 6], [15, 5, 13, 3]))


def model(config: ModelConfig = SMALL, seed: int = 0, vocabulary: Vocabulary = VOCABULARY) -> Transformer:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return build_transformer(config, vocabulary, vocabulary, "cpu")


def batch_of(*numbers: int, wider: int = 0) -> dict[str, Any]:
    """Some of ROWS (all, unless told which), as the trainer gets them; targets padded `wider` than they need."""
    rows = [ROWS[number] for number in numbers or range(len(ROWS))]
    sources, targets = zip(*rows, strict=True)
    batch = Batch(
        src=_padded(sources),
        tgt=_padded([[2, *target] for target in targets], wider),
        srclen=np.array([len(source) for source in sources]),
        soft={},
        tgtlen=np.array([len(target) for target in targets]),
        stream="reference",
        following=Position(),
    )
    return to_torch(batch, None, "cpu")


def forward(network: Transformer, batch: dict[str, Any]) -> Tensor:
    hidden: Tensor = network.module(batch["src"], batch["tgt"], batch["srclen"])[0]
    return hidden


def _padded(rows: Any, wider: int = 0) -> np.ndarray:
    longest = max(map(len, rows)) + wider
    return np.array([[*row, *[1] * (longest - len(row))] for row in rows], dtype=np.int32)
