"""Three tiny teachers through the real pipeline: hypotheses of all, the soft targets of two as one, a student of them.

Two share a vocabulary; the third has a tokenizer of its own and gives hypotheses alone.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from sacrebleu import CHRF

from data.soft_targets import SoftTargetFormat, unpack
from data.store import Store
from tests.fixtures.oracle import forced_log_probs
from tests.fixtures.tiny_teacher import TinyShape, write_tiny_checkpoint

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
SHAPE = TinyShape(words=20)
V = len(SHAPE.vocabulary())
RECIPE = """
[run]
name = "several"
store = "{folder}/runs"

[corpus]
source_language = "en"
target_language = "de"
test_fraction = 0.15
valid_fraction = 0.1
shard_rows = 20

[[corpus.sources]]
kind = "tsv"
name = "made-up"
file = "{folder}/corpus.tsv"
source_column = 0
target_column = 1

[tokenizer]
kind = "none"

[teacher]
kind = "opennmt"
path = "{folder}/first.pt"
quantization = "float32"

[teachers.second]
kind = "opennmt"
path = "{folder}/second.pt"
quantization = "float32"

[teachers.third]
kind = "opennmt"
path = "{folder}/third.pt"
quantization = "float32"
soft_targets = false
tokenizer = {{kind = "none"}}

[decode]
num_hypotheses = 2
max_batch_tokens = 128
max_decoding_length = 12

[score]
k = {k}
precision = "float32"

[fuse]
weights = {{second = 3.0}}

# What random models say is no translation by any measure.
[filter.rules]
length_ratio = {{}}
source_copy = {{}}
repetition = {{}}
log_prob_per_token = {{}}
language_probability = {{}}
numbers_lost = {{}}
placeholders_lost = {{}}
target_length = {{}}

[student.model]
width = 16
heads = 2
feed_forward = 24

[student.optimiser]
steps = 20
batch_tokens = 256
report_every = 10

[evaluate]
repeats = 1
timed_sentences = 5
bootstrap_samples = 100
"""


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run to its report."""
    folder = tmp_path_factory.mktemp("several")
    random = np.random.default_rng(8)
    words = [[f"a{number}" for number in random.integers(0, 20, random.integers(2, 7))] for _ in range(180)]
    lines = [f"{' '.join(row)}\t{' '.join(reversed(row))}\n" for row in words]
    (folder / "corpus.tsv").write_text("".join(lines), encoding="utf-8")
    write_tiny_checkpoint(folder / "first.pt", seed=1, shape=SHAPE)
    write_tiny_checkpoint(folder / "second.pt", seed=2, shape=SHAPE)
    write_tiny_checkpoint(folder / "third.pt", seed=3, shape=TinyShape(words=20, decoder_layers=2))
    (folder / "recipe.toml").write_text(RECIPE.format(folder=folder, k=V), encoding="utf-8")
    _potstill("run", folder / "recipe.toml", "--plain")
    return folder


def test_all_hypotheses_are_kept_and_the_best_wins_whoever_made_it(finished: Path) -> None:
    rows = _dataset(finished).to_pylist()
    for row in rows:
        assert [one["teacher"] for one in row["hypotheses"]] == ["teacher"] * 2 + ["second"] * 2 + ["third"] * 2
        chosen = row["hypotheses"][row["index"]]
        assert (row["target"], row["teacher"]) == (chosen["text"], chosen["teacher"])
        worth = [CHRF().sentence_score(one["text"], [row["reference"]]).score for one in row["hypotheses"]]
        assert row["utility"] == pytest.approx(worth, rel=1e-5)
        assert max(worth) == pytest.approx(row["utility"][row["index"]])
    assert {row["teacher"] for row in rows} == {"teacher", "second", "third"}


def test_with_all_entries_kept_soft_targets_are_the_mean_of_the_teachers_distributions(finished: Path) -> None:
    table = _dataset(finished)
    target_format = SoftTargetFormat.of(table.schema)
    assert [(one.name, one.weight) for one in target_format.fused] == [("teacher", 1.0), ("second", 3.0)]
    assert target_format.k == V
    for row, soft in zip(table.to_pylist()[:12], unpack(table), strict=False):
        sides = row["source"].split(), row["target_tokens"]
        first, second = (np.exp(forced_log_probs(finished / f"{name}.pt", *sides)) for name in ("first", "second"))
        expected = 0.25 * first + 0.75 * second
        found = np.zeros_like(expected)
        np.put_along_axis(found, soft.topk_ids.astype(np.int64), np.exp(soft.topk_log_probs.astype(np.float64)), axis=1)
        np.testing.assert_allclose(found, expected, rtol=5e-3, atol=1e-4)
        entropy = -(expected * np.log(expected)).sum(axis=1)
        np.testing.assert_allclose(soft.entropy, entropy, rtol=5e-3)


def test_the_report_the_card_and_the_status_know_of_all_teachers(finished: Path) -> None:
    metrics = json.loads(_potstill("metrics", finished / "recipe.toml"))
    assert {"teacher_second", "teacher_third", "pool", "fuse", "decode", "score"} <= set(metrics["stages"])
    assert metrics["soft_targets"]["k"] == V
    assert metrics["pool"]["of_third"] == 2 * metrics["corpus"]["splits"]["train"]["rows"]
    card = next(Path(finished / "runs").glob("several/dataset-*/README.md")).read_text(encoding="utf-8")
    for expected in ("| Teacher second |", "| Teacher third |", "mean of teacher (1), second (3)"):
        assert expected in card, expected
    assert "nothing to do" in _potstill("run", finished / "recipe.toml")
    assert "all as their manifests say" in _potstill("verify", finished / "recipe.toml")
    lines = {line.split()[0] for line in _potstill("status", finished / "recipe.toml").splitlines()}
    assert {"decode_second", "decode_third", "score_second", "tokenizer_third", "pool", "fuse"} <= lines


def test_another_weight_fuses_anew_and_decodes_nothing(finished: Path) -> None:
    plan = _potstill("plan", finished / "recipe.toml", "--set", "fuse.weights.second=1")
    states = {line.split()[0]: line for line in plan.splitlines()[1:]}
    for node in ("teacher", "teacher_second", "decode_second", "pool", "select", "score", "score_second"):
        assert " done " in states[node], node
    assert "fuse.weights.second 3.0 -> 1.0" in states["fuse"]


def _dataset(folder: Path) -> pa.Table:
    store = Store(f"{folder}/runs/several")
    (artifact,) = store.artifacts("dataset")
    return pa.concat_tables(list(artifact.tables()))


def _potstill(*arguments: Any) -> str:
    command = [sys.executable, "-m", "pipeline.cli", *map(str, arguments)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
