"""Arrow files as the datasets of Hugging Face leave them; the oracle is datasets itself."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest
from datasets import Dataset, DatasetDict

from data.errors import DataError
from stages.corpus import stage as corpus
from tests.fixtures.corpora import make_corpus

ROWS = [
    {"id": str(n), "translation": {"en": f"Text {n}", "de": f"Text Nummer {n}" if n % 3 else None}} for n in range(20)
]
COLUMNS = {"source_column": "translation.en", "target_column": "translation.de"}


def arrow(path: Path, **options: Any) -> dict[str, Any]:
    return {"kind": "arrow", "name": "a", "path": str(path), **COLUMNS, **options}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A dataset of three shards."""
    Dataset.from_list(ROWS).save_to_disk(tmp_path / "saved", num_shards=3)
    return tmp_path / "saved"


def test_a_saved_dataset_is_read_as_datasets_reads_it(tmp_path: Path, folder: Path) -> None:
    made = make_corpus(tmp_path, arrow(folder))
    expected = [(row["translation"]["en"], row["translation"]["de"]) for row in Dataset.load_from_disk(folder)]
    assert sorted(made.pairs(), key=str) == sorted(expected, key=str)
    assert "data-00000-of-00003.arrow:0" in {row["location"] for row in made.rows}
    config = corpus.Config.model_validate(
        {"source_language": "en", "target_language": "de", "sources": [arrow(folder)]}
    )
    assert [path.name for path in corpus.external_files(config)] == [f"data-0000{n}-of-00003.arrow" for n in range(3)]
    assert corpus.faults(config) == []


def test_only_what_the_state_lists_is_read(tmp_path: Path, folder: Path) -> None:
    (folder / "cache-0123.arrow").write_bytes((folder / "data-00000-of-00003.arrow").read_bytes())
    assert make_corpus(tmp_path, arrow(folder)).metrics["read"] == len(ROWS)
    (folder / "data-00001-of-00003.arrow").unlink()
    with pytest.raises(DataError, match=r"state\.json lists 3 files, and data-00001-of-00003\.arrow is not there"):
        make_corpus(tmp_path, arrow(folder))


def test_a_folder_of_splits_names_them(tmp_path: Path) -> None:
    data = Dataset.from_list(ROWS)
    DatasetDict({"train": data, "test": data}).save_to_disk(tmp_path / "saved")
    with pytest.raises(DataError, match=r"holds several splits, train, test; name one: .*saved/train"):
        make_corpus(tmp_path, arrow(tmp_path / "saved"))
    assert make_corpus(tmp_path, arrow(tmp_path / "saved" / "test")).metrics["read"] == len(ROWS)


def test_files_streams_and_feather_are_read_without_a_state(tmp_path: Path) -> None:
    table = pa.Table.from_pylist(ROWS[:3])
    with pa.ipc.new_file(tmp_path / "a.arrow", table.schema) as writer:
        writer.write_table(table)
    with pa.ipc.new_stream(tmp_path / "b.arrow", table.schema) as writer:
        writer.write_table(table)
    pd.DataFrame({"source": ["One"]}).to_feather(tmp_path / "c.feather")
    (tmp_path / "._a.arrow").write_bytes(b"\0\5\x16\7")
    for path in (tmp_path, tmp_path / "*.arrow"):
        made = make_corpus(tmp_path, arrow(path))
        assert made.metrics["sources"]["a"]["dropped"] == {"duplicate": 3, "skipped_file": 1}
    feather = {"kind": "arrow", "name": "a", "path": str(tmp_path / "c.feather")}
    assert make_corpus(tmp_path, feather).pairs() == [("One", None)]


def test_text_that_is_no_utf8_is_rejected_where_it_stands(tmp_path: Path) -> None:
    texts = pa.array([b"One", b"Tw\xffo", b"Three"])
    for kind, view in ((pa.string(), pa.binary()), (pa.large_string(), pa.large_binary())):
        table = pa.table({"source": texts.cast(view).view(kind)})
        with pa.ipc.new_stream(tmp_path / "a.arrow", table.schema) as writer:
            writer.write_table(table)
        made = make_corpus(tmp_path, {"kind": "arrow", "name": "a", "path": str(tmp_path / "a.arrow")})
        assert sorted(made.pairs()) == [("One", None), ("Three", None)]
        assert made.reasons() == ["not_utf8"]


def test_a_wrong_column_is_named(tmp_path: Path, folder: Path) -> None:
    with pytest.raises(DataError, match=r"data-00000-of-00003\.arrow: no column translation\.fi; fi is not among"):
        make_corpus(tmp_path, arrow(folder, target_column="translation.fi"))


@pytest.mark.parametrize("keep", [0.3, 0.9, -8, 0.0])
def test_a_file_that_is_cut_off_is_named(tmp_path: Path, folder: Path, keep: float) -> None:
    path = folder / "data-00001-of-00003.arrow"
    content = path.read_bytes()
    path.write_bytes(content[: int(keep * len(content)) if 0 <= keep < 1 else int(keep)])
    with pytest.raises(DataError, match=r"data-00001-of-00003\.arrow cannot be read as Arrow"):
        make_corpus(tmp_path, arrow(folder))


def test_a_stream_cut_between_two_batches_is_not_taken_for_whole(tmp_path: Path) -> None:
    table = pa.table({"source": [f"Text {number}" for number in range(10)]})
    with pa.ipc.new_stream(tmp_path / "a.arrow", table.schema) as writer:
        for batch in table.to_batches(max_chunksize=2):
            writer.write_batch(batch)
            end = (tmp_path / "a.arrow").stat().st_size
    content = (tmp_path / "a.arrow").read_bytes()
    assert len(content) > end  # else nothing is tested
    (tmp_path / "a.arrow").write_bytes(content[:-8])
    assert pa.ipc.open_stream(content[:-8]).read_all().num_rows == 10  # pyarrow says nothing
    with pytest.raises(DataError, match="it has no end"):
        make_corpus(tmp_path, {"kind": "arrow", "name": "a", "path": str(tmp_path / "a.arrow")})


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ("{", r"state\.json: no JSON"),
        ("[]", r"state\.json: expected an object"),
        ('{"_data_files": 3}', r"no list of _data_files"),
        (json.dumps({"_data_files": [{"filename": "../../x.arrow"}]}), r"x\.arrow is not there"),
        (json.dumps({"_data_files": [], "_indices_data_files": [{"filename": "i"}]}), r"flatten_indices"),
    ],
)
def test_a_damaged_state_is_named(tmp_path: Path, folder: Path, state: str, message: str) -> None:
    (folder / "state.json").write_text(state)
    with pytest.raises(DataError, match=message):
        make_corpus(tmp_path, arrow(folder))
