"""What is no translation is refused with file, line or row, what was found, and what was expected."""

import gzip
import re
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data.errors import DataError
from stages.given import reading
from tests.stages.given.corpus import corpus, joined, row, write

GOOD = '{"source": "hola", "target": "ei"}\n'


def refused(folder: Path, content: bytes | str, name: str = "given.jsonl", **options: Any) -> str:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(DataError) as error:
        joined(corpus(folder, {"train-00000": [row("hola")]}), path, **options)
    return str(error.value)


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("{'source': 1}", r"given.jsonl:2: .* is no JSON: .*; expected an object a line"),
        ("[1]", r"given.jsonl:2: expected an object of JSON; found '\[1\]'"),
        ('{"target": "x"}', r"given.jsonl:2: has neither id nor source; expected one of them"),
        ('{"id": "", "source": " ", "target": "x"}', r"given.jsonl:2: has neither id nor source"),
        ('{"source": 3, "target": "x"}', r"given.jsonl:2: source: expected a text; found '3'"),
        ('{"source": "a", "target": ["x"]}', r"given.jsonl:2: a translation: expected a text; found"),
        ('{"source": "a", "target": "x", "hypotheses": []}', r"given.jsonl:2: has both target and hypotheses"),
        ('{"source": "a", "hypotheses": "x"}', r"given.jsonl:2: hypotheses: expected a list; found 'x'"),
        ('{"source": "a", "hypotheses": ["x"], "scores": [1, 2]}', r"scores: expected 1, one a hypothesis; found"),
        ('{"source": "a", "target": "x", "score": "good"}', r"given.jsonl:2: score: expected a number, null for none"),
        ('{"source": "a", "target": "x", "score": NaN}', r"given.jsonl:2: score: expected a number"),
        ('{"source": "a", "target": "x", "score": 1e39}', r"given.jsonl:2: score: expected a number"),
        ('{"source": "a", "target": "x", "score": -10000}', r"given.jsonl:2: score: .* not -10000"),
        ('{"source": "a", "source_language": "es", "target": "x"}', r"given.jsonl:2: has one of source_language and"),
        ('{"source": "a", "target": "\\ud800"}', r"given.jsonl:2: a text holds half of a surrogate pair"),
        ('{"source": "a", "target": "\\u0000"}', r"given.jsonl:2: a text holds a NUL byte"),
    ],
)
def test_a_line_that_is_wrong_is_named(tmp_path: Path, line: str, told: str) -> None:
    assert re.search(told, refused(tmp_path, f"{GOOD}{line}\n"))


@pytest.mark.parametrize(
    ("log_probs", "told"),
    [
        ('"x"', r"log_probs: expected a list, for every token and for </s> an object"),
        ("[1]", r"log_probs\[0\]: entries: expected an object {token: log_prob}; found '1'"),
        ('[{"a": "b"}]', r"log_probs\[0\]: entries: expected an object"),
        ('[{"a": -1}, {}]', r"log_probs\[1\]: the largest of 0 is"),
        ('[{"a": 4.5}]', r"the largest of 1 is 4.5.*are these raw logits"),
        ('[{"a": -0.1, "b": -0.2}]', r"sum to 1.724; expected natural.*another base"),
        ('[[{"token": "a", "log_prob": -1}, {"token": "a", "log_prob": -2}]]', r"entries: expected each token once"),
    ],
)
def test_log_probabilities_that_are_none_are_named(tmp_path: Path, log_probs: str, told: str) -> None:
    line = f'{{"source": "hola", "target": "x", "log_probs": {log_probs}}}\n'
    assert re.search(told, refused(tmp_path, f"{GOOD}{line}", soft_targets=True))


@pytest.mark.parametrize(
    ("content", "name", "told"),
    [
        (b"", "a.jsonl", r"a.jsonl: is empty, 0 bytes"),
        (b"\n \n", "a.jsonl", r"a.jsonl: has no line with anything on it"),
        ('[{"source": "a"}]', "a.json", r"a.json: holds one JSON document; .*jq -c"),
        ("hola\tei\n", "a.tsv", r"a.tsv:1: 'hola\\tei' is neither an object of JSON nor the names of columns"),
        ("source\ttarget\nhola\tei\tres\n", "a.tsv", r"a.tsv:2: 3 columns; expected 2"),
        ("source\tsource\tx\nhola\tei\tres\n", "a.tsv", r"a.tsv:1: .*each once"),
        (GOOD.encode() + b'{"source": "\xff"}\n', "a.jsonl", r"a.jsonl:2: is not UTF-8"),
        (b"PK\x03\x04abcd", "a.zip", r"a.zip: is packed by zip, bzip2 or xz; expected gzip, zstd or none"),
        (gzip.compress(GOOD.encode() * 1000)[:-40], "a.jsonl.gz", r"a.jsonl.gz: cannot be read after .*damaged"),
        (b"PAR1 and no more", "a.parquet", r"a.parquet: cannot be read after its beginning"),
    ],
)
def test_a_file_of_another_kind_is_refused_by_what_it_is(tmp_path: Path, content: Any, name: str, told: str) -> None:
    assert re.search(told, refused(tmp_path, content, name))


def test_a_parquet_files_row_is_named(tmp_path: Path) -> None:
    path = write(tmp_path / "given.parquet", [{"id": row("hola")["id"], "target": "a"}, {"id": None, "target": "b"}])
    with pytest.raises(DataError, match=r"given.parquet, row 2: has neither id nor source"):
        joined(corpus(tmp_path, {"train-00000": [row("hola")]}), path)
    pq.write_table(pa.table({"text": ["a"]}), tmp_path / "other.parquet")
    with pytest.raises(DataError, match=r"other.parquet: has the columns text; expected id or source"):
        joined(corpus(tmp_path / "b", {"train-00000": [row("hola")]}), tmp_path / "other.parquet")


def test_a_line_without_end_is_no_reason_to_run_out_of_memory(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(reading, "LONGEST_LINE", 1000)
    assert re.search(r"given.jsonl:2: a line of over 1,000 bytes", refused(tmp_path, GOOD + "x" * 5000))


def test_a_damaged_file_never_ends_in_anything_but_an_error_of_ours(tmp_path: Path) -> None:
    random = np.random.default_rng(3)
    texts = corpus(tmp_path, {"train-00000": [row("hola")]})
    records = [{"source": "hola", "hypotheses": ["ei", {"text": "hola", "score": -1.0}]}] * 3
    for form in ("jsonl", "jsonl.gz", "jsonl.zst", "parquet"):
        records = records if form != "parquet" else [{"source": "hola", "target": "ei"}] * 3
        whole = write(tmp_path / f"whole.{form}", records).read_bytes()
        for attempt in range(25):
            content = bytearray(whole)
            for place in random.integers(0, len(content), size=3):
                content[place] = random.integers(256)
            path = tmp_path / f"fuzzed-{attempt}.{form}"
            path.write_bytes(bytes(content))
            try:
                list(reading.read_records(path, ("source", "hypotheses", "target")))
                joined(texts, path)
            except DataError as error:
                assert str(path) in str(error)
