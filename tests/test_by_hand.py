"""recipes/by_hand.py runs, and its soft targets are what the pipeline's own stage makes of the same rows."""

import os
import re
import subprocess
import sys
from pathlib import Path

import ctranslate2
import numpy as np
import pyarrow.parquet as pq
import pytest
import sentencepiece
from sacrebleu import CHRF

from data.soft_targets import flat, topk

ROOT = Path(__file__).parents[1]
TEACHER = ROOT / "recipes" / "teachers" / "en-de"
PAIRS = [
    (f"{action} {device}", f"{german} {verb}")
    for action, verb in (("Turn on", "einschalten"), ("Turn off", "ausschalten"))
    for device, german in (("the light", "Das Licht"), ("the fan", "Den Ventilator"), ("{name}", "{name}"))
]


@pytest.mark.slow
def test_by_hand_is_the_same_idea(tmp_path: Path) -> None:
    source, out = tmp_path / "pairs.tsv", tmp_path / "soft.parquet"
    source.write_text("".join(f"{one}\t{other}\n" for one, other in PAIRS), encoding="utf-8")
    script = ROOT / "recipes" / "by_hand.py"
    assert len(script.read_text(encoding="utf-8").splitlines()) <= 150
    done = subprocess.run(
        [sys.executable, str(script), str(source), "--steps", "60", "--out", str(out)],
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    first, *_, last = map(float, re.findall(r"loss (\d+\.\d+)", done.stdout))
    assert last < first / 2

    table = pq.read_table(out)
    pieces = sentencepiece.SentencePieceProcessor(str(TEACHER / "source.spm"))
    teacher = ctranslate2.Translator(str(TEACHER), compute_type="int8")
    sources = [pieces.encode(text, out_type=str) for text, _ in PAIRS]
    nbest = [result.hypotheses for result in teacher.translate_batch(sources, beam_size=5, num_hypotheses=5)]
    chosen = [
        max(hypotheses, key=lambda one: CHRF().sentence_score(pieces.decode(one), [reference]).score)
        for hypotheses, (_, reference) in zip(nbest, PAIRS, strict=True)
    ]
    scored = teacher.score_batch(sources, chosen)
    expected = np.concatenate([np.asarray(one.log_probs) for one in scored])
    # In int8 a batch of rows is not rounded as rows alone are.
    np.testing.assert_allclose(flat(table, "token_log_probs").astype(float), expected, atol=0.15)
    _, kept, tail = topk(table)
    total = np.exp(kept.astype(np.float64)).sum(1) + np.exp(tail.astype(np.float64))
    np.testing.assert_allclose(total, 1.0, atol=5e-3)
    assert (flat(table, "entropy") >= 0).all()
