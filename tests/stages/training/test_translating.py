"""Validation by translation: chrF and BLEU against translations by OpenNMT-py's model, step by step, and sacrebleu."""

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from sacrebleu.metrics import BLEU, CHRF

from stages.training import checkpoint
from stages.training.api import Extras
from stages.training.model import Transformer
from stages.training.validation_config import ValidationConfig
from stages.training.vocabulary import BEGIN_ID, END_ID
from tests.stages.training.test_api import lines
from tests.stages.training.toy import OPTIMISER, Spaces, pairs, stream, train, training_data

LONGEST = 20


class Codec(Spaces):
    def decode_target(self, tokens: Sequence[Sequence[str]]) -> list[str]:
        return [" ".join(row) for row in tokens]


def greedy(network: Transformer, source: str) -> str:
    """By whole forward passes, without a cache."""
    index = {token: number for number, token in enumerate(network.target_vocabulary.tokens)}
    ids = torch.tensor([[[index[word]] for word in source.split()]])
    target = [BEGIN_ID]
    while len(target) <= LONGEST and (len(target) == 1 or target[-1] != END_ID):
        with torch.no_grad():
            given = torch.tensor([*target, END_ID])[None, :, None]
            hidden, _ = network.module(ids, given, torch.tensor([ids.shape[1]]))
            logits = network.module.generator(hidden[0, -1])
        # As everywhere, a translation has a token.
        logits[END_ID] -= 1e9 * (len(target) == 1)
        target.append(int(logits.argmax()))
    return " ".join(network.target_vocabulary.tokens[each] for each in target[1:] if each != END_ID)


@pytest.mark.parametrize("metric", ["chrf", "bleu"])
def test_it_is_the_metric_of_greedy_translations_by_the_averaged_weights(tmp_path: Path, metric: str) -> None:
    optimiser = OPTIMISER.model_copy(update={"steps": 40, "max_tokens": LONGEST, "learning_rate": 0.3})
    validation = ValidationConfig(metric=metric, translate_rows=15)
    extras = Extras(codec=Codec(), bleu_tokenizer="13a")
    metrics = train(tmp_path, optimiser=optimiser, validation=validation, extras=extras)
    network = checkpoint.load_model(tmp_path / "checkpoint.pt", "cpu")
    rows = training_data().valid[0].shards[0]().to_pylist()
    # 15 of 20, as evenly spread as can be.
    chosen = [rows[round(place * 19 / 14)] for place in range(15)]
    hypotheses = [greedy(network, row["source"]) for row in chosen]
    assert len(set(hypotheses)) > 1
    scorer = CHRF() if metric == "chrf" else BLEU()
    wanted = scorer.corpus_score(hypotheses, [[row["reference"] for row in chosen]]).score
    assert metrics[f"valid_{metric}"] == pytest.approx(wanted, rel=1e-5)
    assert metrics["validation"]["translated"] == 15
    assert [line["step"] for line in lines(tmp_path) if f"valid_{metric}" in line] == [6, 12, 18, 24, 30, 36, 40]
    assert not list(tmp_path.glob(".translating-*"))


def test_the_best_by_chrf_ships(tmp_path: Path) -> None:
    optimiser = OPTIMISER.model_copy(update={"steps": 30, "validate_every": 3, "learning_rate": 1.0})
    validation = ValidationConfig(metric="chrf", ships="best")
    metrics = train(tmp_path, optimiser=optimiser, validation=validation, extras=Extras(codec=Codec()))
    curve = {line["step"]: line["valid_chrf"] for line in lines(tmp_path) if "valid_chrf" in line}
    assert metrics["validation"]["best"] == max(curve.values())
    assert metrics["validation"]["shipped_steps"] == [min(step for step in curve if curve[step] == max(curve.values()))]


def test_a_stream_with_tags_is_translated_with_them(tmp_path: Path) -> None:
    data = training_data(valid=[stream("valid", pairs(20, 3), source_prefix=("a11",))])
    plain = training_data(valid=[stream("valid", pairs(20, 3))])
    found = {}
    for name, given in (("tagged", data), ("plain", plain)):
        metrics = train(
            tmp_path / name,
            data=given,
            optimiser=OPTIMISER.model_copy(update={"steps": 40, "validate_every": 0}),
            validation=ValidationConfig(metric="chrf"),
            extras=Extras(codec=Codec()),
        )
        found[name] = metrics["valid_chrf"]
    assert found["tagged"] != found["plain"]
