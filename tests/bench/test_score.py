"""The suite's machinery at toy size."""

from pathlib import Path

import pytest

from bench import fixtures, score
from tests.bench.test_fixtures import SMALL


def test_every_way_is_measured_with_its_accuracy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # With one, a cluster is one process.
    monkeypatch.setattr(fixtures, "cores", lambda: 1)
    small = fixtures.transformer_base(tmp_path, rows=8, target_length=5, model=SMALL, vocabulary=300)
    size = score.Size(demo_shards=0, base_rows=0, rounds=1, rows_checked=3)
    records = {one.name: one for one in score.compare(small, size, tmp_path / "runs")}
    made_by = {name: (one.detail["backend"], one.detail["compute_type"]) for name, one in records.items()}
    assert set(made_by.values()) == {("torch", "float32"), ("torch", "bfloat16"), ("ctranslate2", "int8_float32")}
    assert len(records) == 3  # the default is one of them, whichever is the quicker here
    exact = records["score_vs_decode_cpu_torch_float32"]
    assert exact.detail["positions_checked"] == 3 * 6
    assert exact.detail["same_top1"] == 1.0
    # Halves of 16 bits are the largest part of it.
    assert exact.detail["largest_difference"] < 0.01
    rough = next(records[name].detail for name, made in made_by.items() if made == ("torch", "bfloat16"))
    assert exact.detail["mean_difference"] < rough["mean_difference"] < 0.1
    assert exact.value == pytest.approx(
        exact.detail["seconds"]["torch_float32"][0] / exact.detail["seconds"]["decode"][0], rel=0.2
    )
