"""The contenders do the same work: all find the same translations, and each is timed as often as the others."""

from pathlib import Path

import pyarrow as pa
import pytest

from bench import decode, decoders, fixtures, shortlists
from bench.on_cluster import OnCluster
from stages.decode.stage import Config
from stages.training.config import ModelConfig

SMALL = ModelConfig(encoder_layers=2, decoder_layers=2, width=32, heads=2, feed_forward=64, tie_output=False)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> fixtures.Fixture:
    folder = tmp_path_factory.mktemp("base")
    return fixtures.transformer_base(
        folder, rows=14, shards=2, target_length=6, quantization="float32", model=SMALL, vocabulary=300
    )


def test_ours_and_the_peer_find_the_same(small: fixtures.Fixture, tmp_path: Path) -> None:
    config = Config.model_validate(small.decode)
    ours = OnCluster(small, "decode", config, 1, tmp_path)
    left = [ours.run() for _ in range(2)]
    ours.close()
    assert left[0].manifest().content_digest() == left[1].manifest().content_digest()
    assert left[0].url != left[1].url
    peer = decoders.make_peer(small, config, tmp_path, {"inter_threads": 1, "intra_threads": 1})
    peer.run()
    theirs = list(decoders.read_text_nbest(peer.output))
    rows = [row for table in left[0].tables() for row in table["hypotheses"].to_pylist()]
    found = [(number, one["text"]) for number, row in enumerate(rows) for one in row]
    assert found == [(number, text) for number, text, _ in theirs]
    scores = [one["score"] for row in rows for one in row]
    assert scores == pytest.approx([score for _, _, score in theirs], abs=1e-4)


def test_every_ratio_carries_all_timings(
    small: fixtures.Fixture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fixtures, "cores", lambda: 1)
    records = {one.name: one for one in decode.compare(small, Config.model_validate(small.decode), 1, tmp_path, "_x")}
    assert set(records) == {"decode_vs_peer_x", "decode_vs_limit_x", "decode_vs_peer_defaults_x"}
    detail = records["decode_vs_peer_x"].detail
    assert {name: len(seconds) for name, seconds in detail["seconds"].items()} == {
        "ours": 1, "peer": 1, "limit": 1, "peer_defaults": 1
    }  # fmt: skip
    assert (detail["rows"], detail["fixture"]) == (14, "transformer-base")
    assert min(detail["processor_seconds"]["ours"]) > 0
    [slow], [quick] = detail["seconds"]["peer"], detail["seconds"]["ours"]
    assert records["decode_vs_peer_x"].value == pytest.approx(slow / quick, rel=0.1)


def test_a_shortlist_is_measured_for_speed_and_quality(
    small: fixtures.Fixture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fixtures, "cores", lambda: 1)
    config = Config.model_validate({**small.decode, "max_batch_tokens": 64})
    records = shortlists.compare_shortlist(small, config, 1, tmp_path)
    assert [one.name for one in records] == ["shortlist_speed"], "there is no test split"
    assert records[0].detail["batch_tokens"]["listed"] == 64
    best = shortlists.chrf(small, config, list(small.shards))
    assert 0 <= best < 40
    monkeypatch.setattr(shortlists.decode, "run", lambda table, *_: _nbest(table["reference"].to_pylist()))
    assert shortlists.chrf(small, config, list(small.shards)) == pytest.approx(100)


def _nbest(texts: list[str]) -> pa.Table:
    return pa.table({"hypotheses": [[{"text": text}] for text in texts]})
