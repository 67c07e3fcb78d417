"""The dataset against rows joined by hand in Python, and what must not be joined."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data import schema
from data.artifact import Artifact
from data.errors import DataError, ModelError
from data.runtime import Runtime
from data.soft_targets import SoftTargetFormat, unpack
from stages.dataset import stage as dataset
from stages.text.tokenizer import load_tokenizer
from tests.fixtures import distilled
from tests.fixtures.artifacts import artifact_of_tables, closed, new_artifact
from tests.fixtures.distilled import FORMAT, LAST, VOCABULARY, made_up_inputs


def made(root: Path, inputs: dict[str, Artifact], output: Artifact | None = None) -> tuple[Artifact, dict[str, Any]]:
    output = output or new_artifact(root, "dataset")
    metrics = dataset.run(inputs, dataset.Config(), output, Runtime())
    return closed(output), metrics


def by_hand(inputs: dict[str, Artifact]) -> dict[str, list[dict[str, Any]]]:
    """Accepted rows of each shard, put together from dictionaries by id."""
    found = {}
    for shard in inputs["corpus"].shard_names():
        columns: dict[str, dict[str, Any]] = {}
        for node in ("corpus", "decode", "select", "score", "measure", "filter"):
            for row in inputs[node].read_shard(shard).to_pylist():
                columns.setdefault(row["id"], {}).update(row)
        unwanted = {"split", "accepted", "reasons"}
        found[shard] = [
            {name: value for name, value in row.items() if name not in unwanted}
            for row in columns.values()
            if row["accepted"]
        ]
    return found


def test_accepted_rows_are_joined_and_the_others_left_out(tmp_path: Path) -> None:
    inputs = made_up_inputs(tmp_path)
    output, metrics = made(tmp_path, inputs)

    expected = {shard: rows for shard, rows in by_hand(inputs).items() if rows}
    assert LAST not in expected
    assert {shard: output.read_shard(shard).to_pylist() for shard in output.shard_names()} == expected
    rows = [row for shard in expected.values() for row in shard]
    assert metrics["rows"] == len(rows) == 9
    assert metrics["rejected"] == 5
    assert output.manifest().counters == {
        "tokens": sum(row["length"] for row in rows),
        "monolingual": sum(row["reference"] is None for row in rows),
    }
    origins = Counter(row["origin"] for row in rows)
    assert {name: source["rows"] for name, source in metrics["sources"].items()} == origins
    assert sum(source["rejected"] for source in metrics["sources"].values()) == 5
    assert metrics["languages"] == [{"source": "en", "target": "de", "rows": 9}]


def test_files_have_the_contracts_schema_with_comments_and_format(tmp_path: Path) -> None:
    inputs = made_up_inputs(tmp_path)
    measures = inputs["measure"]
    plain = pa.schema([field.remove_metadata() for field in schema.MEASURES])
    tables = {name: measures.read_shard(name).cast(plain) for name in measures.shard_names()}
    inputs["measure"] = artifact_of_tables(tmp_path / "other", "measure", tables)
    output, _ = made(tmp_path, inputs)
    found = pq.read_schema(output.path() / "train-00000.parquet")
    assert found.equals(schema.DATASET, check_metadata=False)
    for field in schema.DATASET:
        assert found.field(field.name).metadata[b"comment"] == field.metadata[b"comment"]
    assert SoftTargetFormat.of(found) == FORMAT
    table = output.read_shard("train-00000")
    assert [len(row.topk_ids) for row in unpack(table)] == table.column("length").to_pylist()


def test_vocabulary_and_tokenizer_go_with_it(tmp_path: Path) -> None:
    inputs = made_up_inputs(tmp_path)
    output, _ = made(tmp_path, inputs)
    vocabulary = json.loads((output.path() / "vocabulary.json").read_text(encoding="utf-8"))
    assert vocabulary == {"source": VOCABULARY, "target": VOCABULARY}
    assert load_tokenizer(output.path() / "tokenizer").digest() == load_tokenizer(inputs["tokenizer"].path()).digest()


def test_a_killed_run_goes_on_at_its_shard_and_ends_the_same(tmp_path: Path) -> None:
    inputs = made_up_inputs(tmp_path)
    whole, _ = made(tmp_path / "whole", inputs)
    broken = new_artifact(tmp_path, "dataset")

    def stop(done: int, *_: object) -> None:
        if done == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        dataset.run(inputs, dataset.Config(), broken, Runtime(progress=stop))
    first = broken.work_path() / "train-00000.parquet"
    before = first.stat().st_mtime_ns
    output, _ = made(tmp_path, inputs, broken)

    assert first.stat().st_mtime_ns == before, "written a second time"
    assert output.manifest().content_digest() == whole.manifest().content_digest()
    assert (output.path() / "README.md").read_bytes() == (whole.path() / "README.md").read_bytes()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rows": 15}, "rows that the filter judged: found 14, expected 15"),
        ({"accepted": 8}, "rows that the filter accepted: found 9, expected 8"),
    ],
)
def test_counts_that_do_not_add_up_are_named(tmp_path: Path, change: dict[str, int], message: str) -> None:
    inputs = made_up_inputs(tmp_path, filter_metrics=distilled.judged_metrics() | change)
    with pytest.raises(DataError, match=message):
        made(tmp_path, inputs)


def test_a_source_with_fewer_rows_than_the_corpus_counted_is_named(tmp_path: Path) -> None:
    inputs = made_up_inputs(tmp_path)
    rows = distilled.rows_of_corpus()
    metrics = distilled.corpus_metrics(rows)
    metrics["sources"]["site"]["kept"]["train"] += 1
    tables = {name: inputs["corpus"].read_shard(name) for name in rows}
    inputs["corpus"] = distilled.artifact(tmp_path / "other", "corpus", tables, metrics)
    with pytest.raises(DataError, match="train split, by source: found"):
        made(tmp_path, inputs)


def test_a_verdict_that_contradicts_its_reasons_is_found(tmp_path: Path) -> None:
    inputs = made_up_inputs(tmp_path)
    inputs["filter"] = with_verdicts(inputs["filter"], tmp_path, accepted=False, reasons=[])
    with pytest.raises(DataError, match="accepted and rejected rows: found 13, expected 14"):
        made(tmp_path, inputs)


def with_verdicts(verdicts: Artifact, root: Path, **first: Any) -> Artifact:
    """The verdicts, that on the first row replaced."""
    tables = {name: verdicts.read_shard(name) for name in verdicts.shard_names()}
    rows = tables["train-00000"].to_pylist()
    tables["train-00000"] = pa.Table.from_pylist([rows[0] | first, *rows[1:]], schema=schema.VERDICTS)
    return distilled.artifact(root / "other", "filter", tables, distilled.judged_metrics() | {"accepted": 8})


def test_shards_that_do_not_belong_together_are_named(tmp_path: Path) -> None:
    inputs = made_up_inputs(tmp_path)
    select = inputs["select"]
    tables = {name: select.read_shard(name) for name in select.shard_names()}

    fewer = artifact_of_tables(tmp_path / "fewer", "select", {"train-00000": tables["train-00000"]})
    with pytest.raises(DataError, match="select differ in the shards train-00001, train-00002"):
        made(tmp_path, inputs | {"select": fewer})

    order = list(reversed(range(tables["train-00001"].num_rows)))
    turned = artifact_of_tables(
        tmp_path / "turned", "select", tables | {"train-00001": tables["train-00001"].take(order)}
    )
    with pytest.raises(DataError, match=r"has id .* expected the first table's"):
        made(tmp_path, inputs | {"select": turned})


@pytest.mark.parametrize("change", [{"teacher_digest": "another"}, {"vocabulary_digest": "another"}])
def test_soft_targets_of_another_teacher_are_refused(tmp_path: Path, change: dict[str, str]) -> None:
    inputs = made_up_inputs(tmp_path, target_format=FORMAT.model_copy(update=change))
    with pytest.raises(ModelError, match="shard train-00000: the soft targets were made by the teacher"):
        made(tmp_path, inputs)


def test_soft_targets_kept_in_two_ways_are_refused(tmp_path: Path) -> None:
    inputs = made_up_inputs(tmp_path)
    other = FORMAT.model_copy(update={"compute_type": "float32"})
    score = inputs["score"]
    tables = {name: score.read_shard(name) for name in score.shard_names()}
    second = tables["train-00001"]
    tables["train-00001"] = second.replace_schema_metadata(other.attach(second.schema).metadata)
    inputs["score"] = artifact_of_tables(tmp_path / "other", "score", tables)
    with pytest.raises(DataError, match="kept in 2 ways, first seen in the shards train-00000, train-00001"):
        made(tmp_path, inputs)


def test_when_nothing_is_accepted_the_rules_are_named(tmp_path: Path) -> None:
    judged = distilled.judged_metrics() | {"accepted": 0}
    inputs = made_up_inputs(tmp_path, filter_metrics=judged)
    verdicts = inputs["filter"]
    tables = {}
    for name in verdicts.shard_names():
        rows = [row | {"accepted": False, "reasons": ["length_ratio"]} for row in verdicts.read_shard(name).to_pylist()]
        tables[name] = pa.Table.from_pylist(rows, schema=schema.VERDICTS)
    inputs["filter"] = distilled.artifact(tmp_path / "other", "filter", tables, judged)
    with pytest.raises(DataError, match=r"accepted none of 14 rows \(5 failed length_ratio\); loosen filter.rules"):
        made(tmp_path, inputs)
