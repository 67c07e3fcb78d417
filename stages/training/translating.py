"""Validation by translation: chrF or BLEU of what the model under way makes of some sources, greedily.

The weights are converted to CTranslate2, whose search is the one that the student will be used with, and faster than
PyTorch's by more than the conversion takes.
"""

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from stages.training.batches.batches import Encoder
from stages.training.checkpoint import content_of
from stages.training.model import Transformer
from stages.training.valid_rows import Sample
from stages.training.validation_config import Metric

# Rows times the longest of them, in tokens.
_BATCH_TOKENS = 2048
_CHECKPOINT, _MODEL = "checkpoint.pt", "model"


class Codec(Encoder, Protocol):
    """What is needed of `stages.text.tokenizer.Tokenizer`."""

    def decode_target(self, tokens: Sequence[Sequence[str]]) -> list[str]:
        """The text of each list of subwords."""


class Translations:
    """The sources of a sample, `most` of them, and what their translations are compared with."""

    def __init__(
        self, sample: Sample, codec: Codec, metric: Metric, bleu_tokenizer: str, *, most: int, longest: int
    ) -> None:
        """`longest`: sources with more tokens, what stands before them and the end counted, are left out."""
        self._codec, self._metric, self._bleu_tokenizer = codec, metric, bleu_tokenizer
        rows = list(_rows(sample, codec))
        usable = [row for row in rows if row[0] and len(row[0]) < longest]
        # As many of each stream: the sample has no other order than that of its streams.
        places = np.unique(np.linspace(0, max(len(usable) - 1, 0), min(most, len(usable))).round().astype(int))
        self._sources = [usable[place][0] for place in places.tolist()]
        self._targets = [usable[place][1] for place in places.tolist()]
        self._longest = longest

    def __len__(self) -> int:
        return len(self._sources)

    def score(self, model: Transformer, weights: Sequence[Tensor] | None, folder: Path, threads: int) -> float:
        """The metric, 0 to 100, with these weights in the place of the model's own; scratch goes below `folder`."""
        from stages.loaded_model.conversion import convert_checkpoint

        with tempfile.TemporaryDirectory(prefix=".translating-", dir=folder) as scratch:
            path = Path(scratch)
            torch.save(content_of(model, weights), path / _CHECKPOINT)
            convert_checkpoint(path / _CHECKPOINT, path / _MODEL, quantization="float32")
            hypotheses = self._translate(path / _MODEL, threads)
        return self._scored(self._codec.decode_target(hypotheses))

    def _translate(self, folder: Path, threads: int) -> list[list[str]]:
        from ctranslate2 import Translator

        translator = Translator(str(folder), device="cpu", compute_type="float32", intra_threads=threads)
        found = translator.translate_batch(
            self._sources,
            beam_size=1,
            max_batch_size=_BATCH_TOKENS,
            batch_type="tokens",
            max_decoding_length=self._longest,
        )
        return [each.hypotheses[0] for each in found]

    def _scored(self, hypotheses: Sequence[str]) -> float:
        from sacrebleu.metrics import BLEU, CHRF

        metric = BLEU(tokenize=self._bleu_tokenizer) if self._metric == "bleu" else CHRF()
        return float(metric.corpus_score(list(hypotheses), [self._targets]).score)


def _rows(sample: Sample, codec: Codec) -> Iterator[tuple[list[str], str]]:
    for stream, table in sample.tables():
        sources = codec.encode_source(table["source"].to_pylist())
        targets = table[stream.target_column].to_pylist()
        tags = stream.pairs.prefixes if stream.pairs else ((),)
        pairs = stream.pairs.places(table).tolist() if stream.pairs else [0] * table.num_rows
        for source, target, pair in zip(sources, targets, pairs, strict=True):
            if source:
                yield [*stream.source_prefix, *tags[pair], *source], target
