"""The worked example fits the schemas and itself, and docs/contract.md shows it as it is."""

import hashlib
import io
import json
import math
import re
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import sacrebleu

from data import schema
from data.join import join
from data.manifest import Manifest
from data.parquet import decode, encode
from data.soft_targets import SoftTargetFormat, flat, unpack
from tests.data import contract_example as example

ROWS = ["PAIRS", "NBEST", "SELECTED", "SOFT_TARGETS", "MEASURES", "VERDICTS"]


@pytest.fixture(scope="module")
def tables() -> dict[str, pa.Table]:
    return example.tables()


@pytest.fixture(scope="module")
def page() -> str:
    return example.PAGE.read_text(encoding="utf-8")


def _blocks(page: str) -> list[dict[str, Any]]:
    return [json.loads(block) for block in re.findall(r"```json\n(.*?)```", page, flags=re.DOTALL)]


def test_every_schema_has_its_table_and_every_table_its_values() -> None:
    schemas = {name for name, value in vars(schema).items() if isinstance(value, pa.Schema)}
    assert set(example.tables()) == schemas - {"DATASET"}
    for name in ("PAIR", "REJECT", "GIVEN", "NBEST", "SELECTED", "MEASURES", "VERDICT"):
        kind = {"PAIR": schema.PAIRS, "REJECT": schema.REJECTS, "VERDICT": schema.VERDICTS}.get(name)
        assert list(getattr(example, name)) == (kind or getattr(schema, name)).names


def test_the_pair_comes_back_from_parquet_as_it_was(tables: dict[str, pa.Table]) -> None:
    for name, table in tables.items():
        found = decode(io.BytesIO(encode(table)), None, name)
        assert found.to_pylist() == table.to_pylist()
        assert found.schema.equals(getattr(schema, name)), name


def test_the_pair_has_one_id_and_joins_to_a_row_of_the_dataset(tables: dict[str, pa.Table]) -> None:
    joined = join([tables[name] for name in ROWS])
    text = "\x1f".join((example.PAIR["source_language"], example.PAIR["target_language"], example.PAIR["source"]))
    assert joined.column("id").to_pylist() == [hashlib.blake2b(text.encode(), digest_size=16).hexdigest()]
    assert joined.select(schema.DATASET.names).schema.equals(schema.DATASET)
    assert set(joined.schema.names) - set(schema.DATASET.names) == {"split", "accepted", "reasons"}


def test_the_hypothesis_is_the_one_that_was_selected() -> None:
    hypotheses = example.NBEST["hypotheses"]
    chosen = hypotheses[example.SELECTED["index"]]
    assert (chosen["text"], chosen["tokens"]) == (example.SELECTED["target"], example.SELECTED["target_tokens"])
    assert chosen["score"] == example.SELECTED["teacher_score"] < hypotheses[0]["score"]
    chrf = sacrebleu.CHRF()
    utility = [chrf.sentence_score(item["text"], [example.PAIR["reference"]]).score for item in hypotheses]
    assert utility == pytest.approx(example.SELECTED["utility"], abs=0.005)
    for item in hypotheses:
        assert "".join(item["tokens"]).replace("▁", " ").strip() == item["text"]


def test_soft_targets_are_a_distribution_over_the_vocabulary(tables: dict[str, pa.Table]) -> None:
    row = unpack(tables["SOFT_TARGETS"])[0]
    assert row.topk_ids.shape == (len(example.TOKENS) + 1, example.FORMAT.k)
    for position, token in enumerate([*example.TOKENS, "</s>"]):
        kept = np.exp(row.topk_log_probs[position].astype(np.float64))
        tail = math.exp(row.tail_log_mass[position])
        assert kept.sum() + tail == pytest.approx(1.0, abs=2e-3)
        place = row.topk_ids[position].tolist().index(example.VOCABULARY.index(token))
        assert row.token_log_probs[position] == row.topk_log_probs[position][place]
        rest = len(example.VOCABULARY) - example.FORMAT.k
        full = [*kept, *[tail / rest] * rest]
        assert row.entropy[position] == pytest.approx(-sum(p * math.log(p) for p in full), rel=0.02)


def test_measures_and_scores_say_the_same_of_the_pair(tables: dict[str, pa.Table]) -> None:
    mean_log_prob = flat(tables["SOFT_TARGETS"], "token_log_probs").astype(np.float64).mean()
    assert mean_log_prob == pytest.approx(example.SCORE, abs=1e-4)
    assert example.MEASURES["log_prob_per_token"] == example.SELECTED["teacher_score"] == example.SCORE
    mean_entropy = flat(tables["SOFT_TARGETS"], "entropy").astype(np.float64).mean()
    assert mean_entropy == pytest.approx(example.MEASURES["mean_entropy"], abs=1e-3)
    assert example.MEASURES["length_ratio"] == len(example.SELECTED["target"]) / len(example.PAIR["source"])


def test_the_page_shows_fields_types_comments_and_values_as_they_are(page: str) -> None:
    assert re.findall(r"<!-- table (\w+) -->", page) == list(example.tables())
    assert page == example.with_tables(page), "run `python -m tests.data.contract_example` and look at what changed"
    for field in schema.DATASET:
        assert f"| `{field.name}` |" in page
        assert field.metadata[b"comment"].decode().replace("<", "&lt;") in page


def test_the_pages_manifest_and_metadata_are_what_the_code_reads(page: str) -> None:
    manifest, soft_targets = _blocks(page)
    read = Manifest.model_validate(manifest, strict=True, extra="forbid")
    assert read.model_dump() == manifest
    assert read.shards[0].counters == read.counters
    assert SoftTargetFormat.model_validate(soft_targets) == example.FORMAT
    assert list(soft_targets) == list(SoftTargetFormat.model_fields)
