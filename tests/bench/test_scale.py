"""The made-up corpus against its own files read line by line, and what the suite makes of timings."""

import hashlib
import unicodedata
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pytest

from bench.generator import MAX_CHARACTERS, SHARES, Made, generate
from bench.one_stage import Took, peak_memory
from bench.plan_size import run_plan
from bench.records import save
from bench.scale import size_records, with_kept
from bench.scaling import MEASURED, Size, run_size, wrong_rows
from bench.synthetic import decode, measure, numbers, score
from data import schema
from data.ids import row_id
from data.runtime import Runtime
from pipeline.running.worker import check_result
from stages.corpus import stage as corpus
from tests.fixtures.artifacts import closed, new_artifact

ROWS = 2_000


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return generate(tmp_path_factory.mktemp("made"), ROWS, seed=3)


def lines(path: Path) -> list[bytes]:
    return path.read_bytes().removesuffix(b"\n").split(b"\n")


def test_the_amounts_are_in_the_files(made: Made) -> None:
    sources, targets = lines(made.source), lines(made.target)
    assert len(sources) == len(targets) == ROWS
    test = {line.decode().casefold() for line in lines(made.test_source)}
    assert len(test) == made.test_rows == 100
    seen, found = set[str](), Counter[str]()
    for raw in sources:
        if raw.endswith(b"\xff"):
            found["not_utf8"] += 1
            continue
        text = unicodedata.normalize("NFC", " ".join(raw.decode().split()))
        if not text:
            found["empty_source"] += 1
        elif "\0" in text:
            found["nul_byte"] += 1
        elif len(text) > MAX_CHARACTERS:
            found["too_long"] += 1
        elif text.casefold() in test:
            found["in_test_set"] += 1
        elif text in seen:
            found["duplicate"] += 1
        seen.add(text)
    assert dict(sorted(found.items())) == made.dropped()
    assert ROWS - found.total() == made.train_rows()
    assert sum(SHARES.values()) == 100


def test_the_same_seed_gives_the_same_bytes(made: Made, tmp_path: Path) -> None:
    def digest(path: Path) -> str:
        return hashlib.sha256(path.read_bytes()).hexdigest()

    again, other = generate(tmp_path / "again", ROWS, seed=3), generate(tmp_path / "other", ROWS, seed=4)
    assert digest(made.source) == digest(again.source) != digest(other.source)
    assert digest(made.target) == digest(again.target)
    with pytest.raises(ValueError, match="hundreds"):
        generate(tmp_path / "odd", 150)


def test_synthetic_stages_keep_the_contract() -> None:
    ids = [row_id("en", "de", str(row)) for row in range(3)]
    table = pa.table({"id": ids, "source": ["a d", "b", "c"], "reference": pa.array(["ed e", None, "x y z"])})
    nbest = check_result(table, decode.run(table, decode.Config(), None), schema.NBEST).column("hypotheses").to_pylist()
    assert [[one["text"] for one in row] for row in nbest] == [["ad a", "eou e"], ["b", "b"], ["x y z", "x y z"]]
    assert nbest[0][1]["tokens"] == ["eou", "e"]
    chosen = table.append_column("target_tokens", pa.array([["a"], [], ["b", "c"]]))
    config = score.Config(k=2)
    soft = check_result(chosen, score.run(chosen, config, score.load(config, {}, Runtime())), schema.SOFT_TARGETS)
    assert soft.column("length").to_pylist() == [2, 1, 3]
    check_result(table, measure.run(table, measure.Config(), None), schema.MEASURES)


def test_as_many_shards_as_are_asked_for_are_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(numbers, "MOST_LINKS", 3)
    output = new_artifact(tmp_path, "corpus")
    numbers.run({}, numbers.Config(shards=8), output, Runtime())
    closed(output)
    assert [table.num_rows for table in output.tables("train-")] == [1] * 8
    assert output.verify() == []


def took(stage: str, seconds: float, peak: int) -> Took:
    return Took(stage, seconds, seconds / 2, peak, 7 * 2**20, "")


def test_ratios_are_a_row_and_the_worst_stage_counts_for_memory(made: Made) -> None:
    larger = Made(made.source, made.target, made.test_source, made.test_target, 10 * ROWS, made.test_rows)
    base = Size(made, {stage: [took(stage, seconds, 100 * 2**20) for seconds in (9.0, 1.0, 2.0)] for stage in MEASURED})
    full = Size(larger, {stage: [took(stage, 22.0, (110 + 5 * (stage == "filter")) * 2**20)] for stage in MEASURED})
    figures = {one.name: one for one in size_records(base, full, {ROWS: {"judged": 0}, 10 * ROWS: {"judged": 2}})}
    assert figures["scale_memory_ratio"].value == pytest.approx(1.15)
    assert figures["scale_time_ratio"].value == pytest.approx(1.1)
    assert figures["scale_wrong_rows"].value == 2
    assert figures["scale_rows_per_second_select"].value == pytest.approx(10 * ROWS / 22, rel=1e-5)
    assert figures["scale_memory_ratio"].detail["base_megabytes"]["corpus"] == 100


def test_parts_that_were_not_measured_again_are_kept(tmp_path: Path, made: Made) -> None:
    size = Size(made, {stage: [took(stage, 1.0, 2**20)] for stage in MEASURED})
    records = size_records(size, size, {})
    path = tmp_path / "scale.json"
    save("scale", records, path.parent)
    assert sorted(one.name for one in with_kept(records[:1], path)) == sorted(one.name for one in records)
    assert with_kept(records, tmp_path / "none.json") == records


def test_the_peak_of_memory_grows_with_what_was_held() -> None:
    before = peak_memory()
    held = bytearray(64 * 2**20 + before)
    assert peak_memory() - before > 60 * 2**20
    del held
    assert peak_memory() > before


@pytest.mark.slow
def test_all_stages_at_toy_size_and_a_fault_is_found(tmp_path: Path) -> None:
    size = run_size(tmp_path, 1_000)
    assert tuple(size.took) == MEASURED
    assert min(size.peak(stage) for stage in MEASURED) > 10 * 2**20
    assert set(wrong_rows(tmp_path, size.made).values()) == {0}
    fewer = Made(size.made.source, size.made.target, size.made.test_source, size.made.test_target, 900, 100)
    wrong = wrong_rows(tmp_path, fewer)
    assert wrong["kept for training"] == 86
    assert wrong["dropped: duplicate"] == 7
    assert wrong["sources that are not there"] == 86


@pytest.mark.slow
def test_a_plan_of_many_shards_keeps_few_in_flight(tmp_path: Path) -> None:
    took = run_plan(tmp_path, 40)
    assert took.shards == 40
    assert 1 <= took.most_tasks <= 2 * 2 + 1
    assert took.client_peak > 10 * 2**20


def test_the_corpus_drops_exactly_what_was_made_to_be_dropped(made: Made, tmp_path: Path) -> None:
    def source(name: str, *files: Path) -> dict[str, str]:
        return {"kind": "text", "name": name, "source_file": str(files[0]), "target_file": str(files[1])}

    config = corpus.Config.model_validate(
        {
            "source_language": "en",
            "target_language": "de",
            "valid_fraction": 0,
            "max_characters": MAX_CHARACTERS,
            "sources": [source("made", made.source, made.target)],
            "test_sets": [source("test", made.test_source, made.test_target)],
        }
    )
    output = new_artifact(tmp_path, "corpus")
    metrics = corpus.run({}, config, output, Runtime())
    closed(output)
    assert metrics["dropped"] == made.dropped()
    assert metrics["splits"]["train"] == {"rows": made.train_rows(), "monolingual": made.of_kind("monolingual")}
