"""Noise in the dataset: columns, counts, the card's words, and text files as a student reads the rows."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from data import schema
from data.artifact import Artifact
from data.runtime import Runtime
from stages.dataset import stage as dataset
from stages.dataset.stage import export_text
from tests.fixtures import distilled
from tests.fixtures.artifacts import closed, new_artifact

SHARD = "train-00000"


def made(root: Path, read_by: str) -> tuple[Artifact, dict[str, Any]]:
    """Rows 0 and 3 have a typo, row 1 is in capitals, row 2 too, which is rejected."""
    inputs, rows = distilled.made_up_inputs(root), distilled.rows_of_corpus()
    for number, kind in ((0, "typos"), (1, "upper_case"), (2, "upper_case"), (3, "typos")):
        row = rows[SHARD][number]
        noisy = row["source"].upper() if kind == "upper_case" else f"{row['source']}x  y"
        row["noise"] = kind
        if read_by == "student":
            row["student_source"] = noisy
        else:
            row["clean_source"], row["source"] = row["source"], noisy
    metrics = distilled.corpus_metrics(rows) | {"noise": {"read_by": read_by}}
    tables = {shard: pa.Table.from_pylist(each, schema.PAIRS) for shard, each in rows.items()}
    inputs["corpus"] = distilled.artifact(root / "noisy", "corpus", tables, metrics=metrics)
    output = new_artifact(root, "dataset")
    found = dataset.run(inputs, dataset.Config(), output, Runtime())
    return closed(output, found), found


@pytest.mark.parametrize("read_by", ["student", "teacher"])
def test_kinds_of_accepted_rows_are_counted_and_told(tmp_path: Path, read_by: str) -> None:
    output, metrics = made(tmp_path, read_by)
    assert metrics["noise"] == {"read_by": read_by, "rows": {"typos": 2, "upper_case": 1}}
    rows = output.read_shard(SHARD).to_pylist()
    assert [row["noise"] for row in rows] == ["typos", "upper_case", "typos", None, None]
    card = (output.path() / "README.md").read_text(encoding="utf-8")
    assert "## Noise" in card
    assert "as people write: 2 typos, 1 upper case;" in card
    assert ("`student_source` in place of `source`" in card) == (read_by == "student")
    assert ("`clean_source` is what it was before" in card) == (read_by == "teacher")


def test_text_files_have_rows_as_the_student_reads_them(tmp_path: Path) -> None:
    output, _ = made(tmp_path, "student")
    export_text(output, tmp_path / "text")
    rows = pa.concat_tables(output.tables()).to_pylist()
    # The vocabulary has no capitals, so the target cannot follow, and its row stays clean.
    wanted = [row["student_source"] if row["noise"] == "typos" else row["source"] for row in rows]
    assert (tmp_path / "text" / "source.txt").read_text(encoding="utf-8").split("\n")[:-1] == wanted
    tokens = (tmp_path / "text" / "source.tok").read_text(encoding="utf-8").split("\n")[:-1]
    assert tokens == [" ".join(text.split()) for text in wanted]
    targets = (tmp_path / "text" / "target.txt").read_text(encoding="utf-8").split("\n")[:-1]
    assert targets == [row["target"] for row in rows]


def test_without_noise_nothing_is_said(tmp_path: Path) -> None:
    output = new_artifact(tmp_path, "dataset")
    metrics = dataset.run(distilled.made_up_inputs(tmp_path), dataset.Config(), output, Runtime())
    assert "noise" not in metrics
    assert "## Noise" not in (output.work_path() / "README.md").read_text(encoding="utf-8")
