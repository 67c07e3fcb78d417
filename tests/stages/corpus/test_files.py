import bz2
import gzip
import lzma
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fsspec
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from data.errors import DataError
from stages.corpus import stage as corpus
from tests.fixtures.corpora import make_corpus, tsv

PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
    ".zst": zstandard.compress,
}
ENGLISH = b"One\nTwo\nThree\n"
GERMAN = "Eins\nZwei\nDrölf".encode()
PAIRS = [("One", "Eins"), ("Three", "Drölf"), ("Two", "Zwei")]


def text(folder: Path, source: bytes, target: bytes | None = None, suffix: str = "") -> dict[str, Any]:
    (folder / f"s.txt{suffix}").write_bytes(source)
    files = {"source_file": str(folder / f"s.txt{suffix}")}
    if target is not None:
        (folder / f"t.txt{suffix}").write_bytes(target)
        files["target_file"] = str(folder / f"t.txt{suffix}")
    return {"kind": "text", "name": "a", **files}


@pytest.mark.parametrize("suffix", PACKERS)
def test_parallel_text_is_read_plain_and_packed(tmp_path: Path, suffix: str) -> None:
    pack = PACKERS[suffix]
    # In two parts: each of these formats allows one after the other in a file.
    packed = [pack(content[:5]) + pack(content[5:]) for content in (ENGLISH, GERMAN)]
    made = make_corpus(tmp_path, text(tmp_path, packed[0], packed[1], suffix))
    assert sorted(made.pairs()) == PAIRS
    assert made.metrics["sources"]["a"]["read"] == 3


@pytest.mark.parametrize("suffix", [suffix for suffix in PACKERS if suffix])
@pytest.mark.parametrize("damage", ["cut off", "other content"])
def test_damaged_packed_files_are_named(tmp_path: Path, suffix: str, damage: str) -> None:
    packed = PACKERS[suffix](b"".join(b"Line %d\n" % number for number in range(2000)))
    content = packed[: len(packed) // 2] if damage == "cut off" else b"Not packed at all\n" * 20
    with pytest.raises(DataError, match=rf"s.txt{suffix} cannot be read"):
        make_corpus(tmp_path, text(tmp_path, content, None, suffix))


PACKED = [suffix for suffix in PACKERS if suffix]
# Four streams of 1,000 lines, as pbzip2 and `cat a.xz b.xz` leave them.
NUMBERS = [b"".join(b"Line %d of %d\n" % (line, stream) for line in range(1000)) for stream in range(4)]


@pytest.mark.parametrize("suffix", PACKED)
@pytest.mark.parametrize("place", [0, 3])
def test_a_damaged_later_stream_is_not_taken_for_the_end(tmp_path: Path, suffix: str, place: int) -> None:
    streams = [PACKERS[suffix](content) for content in NUMBERS]
    whole = make_corpus(tmp_path, text(tmp_path, b"".join(streams), None, suffix))
    assert whole.metrics["sources"]["a"]["read"] == 4000
    second = bytearray(streams[1])
    second[place] ^= 0xFF
    with pytest.raises(DataError, match=rf"s\.txt{suffix} cannot be read: .+; is it damaged or cut off\?"):
        make_corpus(tmp_path, text(tmp_path, streams[0] + second + b"".join(streams[2:]), None, suffix))


@pytest.mark.parametrize("suffix", PACKED)
@pytest.mark.parametrize("behind", [b"garbage", b"not of this file at all\n" * 20_000])
def test_what_stands_behind_the_last_stream_is_no_end(tmp_path: Path, suffix: str, behind: bytes) -> None:
    content = b"".join(PACKERS[suffix](content) for content in NUMBERS) + behind
    with pytest.raises(DataError, match=rf"s\.txt{suffix} cannot be read"):
        make_corpus(tmp_path, text(tmp_path, content, None, suffix))


@pytest.mark.parametrize("zeros", [4, 400_000])
def test_xz_streams_may_be_filled_up_with_zeros(tmp_path: Path, zeros: int) -> None:
    streams = [lzma.compress(content) + bytes(zeros) for content in NUMBERS]
    made = make_corpus(tmp_path, text(tmp_path, b"".join(streams), None, ".xz"))
    assert made.metrics["sources"]["a"]["read"] == 4000
    with pytest.raises(DataError, match="stream 4 is followed by zeros, 3 more than a multiple of 4"):
        make_corpus(tmp_path, text(tmp_path, b"".join(streams) + bytes(3), None, ".xz"))


def test_unequal_line_counts_name_both_files(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"s\.txt has 3 lines and .*t\.txt has 2"):
        make_corpus(tmp_path, text(tmp_path, ENGLISH, b"Eins\nZwei\n"))
    with pytest.raises(DataError, match=r"s\.txt has 3 lines and .*t\.txt has 4"):
        make_corpus(tmp_path, text(tmp_path, ENGLISH, b"Eins\nZwei\nDrei\nVier"))


def test_only_line_feeds_end_a_line(tmp_path: Path) -> None:
    source = "One\u2028still one\x0band on\r\nTwo\x85too\rold\n\nFour\n".encode()
    made = make_corpus(tmp_path, text(tmp_path, source, b"Eins\nZwei\nDrei\nVier\n"))
    assert sorted(made.pairs()) == [("Four", "Vier"), ("One still one and on", "Eins"), ("Two too old", "Zwei")]
    assert [(row["reason"], row["reference"]) for row in made.rejects] == [("empty_source", "Drei")]


def test_lines_that_are_no_text_are_rejected_where_they_stand(tmp_path: Path) -> None:
    source = b"\xef\xbb\xbfOne\nTw\xff\xfeo\nThr\0ee\nFour\nFive"
    made = make_corpus(tmp_path, text(tmp_path, source, b"Eins\nZwei\nDrei\nVi\xc3\nF\xc3\xbcnf\n"))
    assert sorted(made.pairs()) == [("Five", "Fünf"), ("One", "Eins")]
    assert [(row["location"].rpartition("/")[2], row["source"], row["reason"]) for row in made.rejects] == [
        ("s.txt:2", "Tw��o", "not_utf8"),
        ("s.txt:3", "Thr�ee", "nul_byte"),
        ("s.txt:4", "Four", "not_utf8"),
    ]


@pytest.mark.parametrize("suffix", PACKERS)
def test_an_endless_line_is_rejected_without_filling_the_memory(tmp_path: Path, suffix: str) -> None:
    size = 40_000_000
    source = text(tmp_path, PACKERS[suffix](b"One\n" + b"x" * size + b"\nThree\n"), None, suffix)
    tracemalloc.start()
    made = make_corpus(tmp_path, source)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert sorted(made.pairs()) == [("One", None), ("Three", None)]
    assert [(row["source"], row["reason"]) for row in made.rejects] == [("x" * 1000, "too_long")]
    assert peak < size / 3  # xz itself looks back over 8 MiB


def test_a_url_is_read(tmp_path: Path) -> None:
    with fsspec.open("memory://potstill/a.tsv.gz", "wb", compression="gzip") as stream:
        stream.write(b"One\tEins\n")
    made = make_corpus(tmp_path, {"kind": "tsv", "name": "a", "file": "memory://potstill/a.tsv.gz", "target_column": 1})
    assert made.pairs() == [("One", "Eins")]
    assert made.rows[0]["location"] == "memory://potstill/a.tsv.gz:1"


def test_a_url_with_other_content_is_another_corpus() -> None:
    sources = [{"kind": "text", "name": "a", "source_file": "memory://potstill/changing.txt"}]
    config = corpus.Config.model_validate({"source_language": "en", "target_language": "de", "sources": sources})
    with pytest.raises(DataError, match=r"sources\[0\]\.source_file: .*changing\.txt cannot be asked for"):
        corpus.external_identities(config)
    found = []
    for text in ("One", "Other", "Other"):
        with fsspec.open("memory://potstill/changing.txt", "w") as stream:
            stream.write(text)
        found.append(corpus.external_identities(config))
        assert corpus.external_identities(config) == found[-1]
    assert found[0] != found[1]
    assert corpus.external_files(config) == []


def test_a_missing_url_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"memory://potstill/none\.txt: no such file"):
        make_corpus(tmp_path, {"kind": "text", "name": "a", "source_file": "memory://potstill/none.txt"})


def test_tsv_columns_by_name_or_index(tmp_path: Path) -> None:
    rows = [("de", "n", "en"), ("Eins", "1", "One"), ("Zwei", "Two"), ('"Drei', "3", 'Three"')]
    named = tsv(tmp_path, "a", rows, source_column="en", target_column="de")
    made = make_corpus(tmp_path, named)
    assert sorted(made.pairs()) == [("One", "Eins"), ('Three"', '"Drei')]
    assert [(row["reason"], row["source"]) for row in made.rejects] == [("wrong_columns", "Zwei\tTwo")]
    numbered = {**named, "source_column": 2, "target_column": 0}
    assert sorted(make_corpus(tmp_path, numbered).pairs()) == [("One", "Eins"), ('Three"', '"Drei'), ("en", "de")]
    assert make_corpus(tmp_path, {**numbered, "header": True}).pairs() == made.pairs()


def test_tsv_lines_may_end_as_windows_has_it(tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_bytes(b"en\tde\r\nOne\tEins\r\n")
    columns = {"source_column": "en", "target_column": "de"}
    made = make_corpus(tmp_path, {"kind": "tsv", "name": "a", "file": str(tmp_path / "a.tsv"), **columns})
    assert made.pairs() == [("One", "Eins")]


def test_quoted_values_may_hold_the_separator(tmp_path: Path) -> None:
    frame = pd.DataFrame({"en": ['Say "one", two', "Three"], "de": ["Sag „eins“, zwei", "Drei"]})
    frame.to_csv(tmp_path / "a.csv", index=False)
    columns = {"source_column": "en", "target_column": "de", "separator": ",", "quoted": True}
    made = make_corpus(tmp_path, {"kind": "tsv", "name": "a", "file": str(tmp_path / "a.csv"), **columns})
    assert sorted(made.pairs()) == sorted(zip(frame["en"], frame["de"], strict=True))


def test_quoted_values_may_go_over_lines_and_a_stray_quote_costs_its_own_line(tmp_path: Path) -> None:
    lines = [
        "en,de",
        'One,"Eins',
        'und eins"',
        '"Two',
        'and two",Zwei',
        '"stray,Irrtum',
        '"Three","Drei"',
        "Fo\rur,Vier",
        f"{'x' * 200_000},Lang",
        'five" wide,fünf Zoll breit',
        '"open,to the end',
        "Six,Sechs",
    ]
    (tmp_path / "a.csv").write_text("\n".join(lines) + "\n", encoding="utf-8", newline="")
    columns = {"source_column": "en", "target_column": "de", "separator": ",", "quoted": True}
    made = make_corpus(tmp_path, {"kind": "tsv", "name": "a", "file": str(tmp_path / "a.csv"), **columns})
    assert sorted(made.pairs()) == [
        ("One", "Eins und eins"),
        ("Six", "Sechs"),
        ("Three", "Drei"),
        ("Two and two", "Zwei"),
        ('five" wide', "fünf Zoll breit"),
    ]
    found = {row["location"].rpartition(":")[2]: row["reason"] for row in made.rejects}
    assert found == {"6": "wrong_columns", "8": "wrong_columns", "9": "too_long", "11": "wrong_columns"}
    assert made.metrics["sources"]["a"]["read"] == 9


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"source_column": "eng"}, r"a\.tsv: no column 'eng'; did you mean en\?"),
        ({"source_column": "en", "target_column": 2}, r"a\.tsv: no column 2; its lines have 2"),
    ],
)
def test_a_missing_tsv_column_is_named(tmp_path: Path, columns: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        make_corpus(tmp_path, {**tsv(tmp_path, "a", [("de", "en"), ("Eins", "One")]), **columns})


def parquet(path: Path, **options: Any) -> dict[str, Any]:
    return {"kind": "parquet", "name": "a", "path": str(path), **options}


def test_parquet_from_a_file_a_folder_or_a_glob(tmp_path: Path) -> None:
    folder = tmp_path / "parts"
    folder.mkdir()
    frames = [pd.DataFrame({"en": ["One", None], "de": ["Eins", "Null"]}), pd.DataFrame({"en": ["Two"], "de": [None]})]
    for number, frame in enumerate(frames):
        frame.to_parquet(folder / f"part-{number}.parquet")
    columns = {"source_column": "en", "target_column": "de"}
    whole = make_corpus(tmp_path, parquet(folder, **columns))
    assert sorted(whole.pairs(), key=str) == [("One", "Eins"), ("Two", None)]
    assert [(row["location"], row["reason"]) for row in whole.rejects] == [("part-0.parquet:1", "empty_source")]
    assert make_corpus(tmp_path, parquet(folder / "*-?.parquet", **columns)).rows == whole.rows
    single = make_corpus(tmp_path, parquet(folder / "part-1.parquet", **columns))
    assert [(row["source"], row["location"]) for row in single.rows] == [("Two", "part-1.parquet:0")]


def test_parquet_columns_of_other_layouts(tmp_path: Path) -> None:
    texts = {"en": ["One", "Two"], "de": ["Eins", "Zwei"]}
    nested = pa.table({"translation": pa.array(pd.DataFrame(texts).to_dict("records"))})
    pq.write_table(nested, tmp_path / "nested.parquet")
    dictionary = pa.table({name: pa.array(values).dictionary_encode() for name, values in texts.items()})
    pq.write_table(dictionary, tmp_path / "dictionary.parquet")
    for name, prefix in (("nested", "translation."), ("dictionary", "")):
        columns = {"source_column": f"{prefix}en", "target_column": f"{prefix}de"}
        made = make_corpus(tmp_path, parquet(tmp_path / f"{name}.parquet", **columns))
        assert sorted(made.pairs()) == [("One", "Eins"), ("Two", "Zwei")]


def test_parquet_text_that_is_no_utf8_is_rejected(tmp_path: Path) -> None:
    content = pa.array([b"One", b"Tw\xffo", None]).view(pa.string())
    pq.write_table(pa.table({"source": content}), tmp_path / "a.parquet")
    made = make_corpus(tmp_path, parquet(tmp_path / "a.parquet"))
    assert made.pairs() == [("One", None)]
    assert made.reasons() == ["not_utf8", "empty_source"]


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"source_column": "text"}, "no column text; text is not among en, n"),
        ({"source_column": "en.x"}, "no column en.x; x is not among no fields"),
        ({"source_column": "n"}, r"column n holds int64; expected text"),
    ],
)
def test_a_wrong_parquet_column_is_named(tmp_path: Path, columns: dict[str, str], message: str) -> None:
    pd.DataFrame({"en": ["One"], "n": [1]}).to_parquet(tmp_path / "a.parquet")
    with pytest.raises(DataError, match=message):
        make_corpus(tmp_path, parquet(tmp_path / "a.parquet", **columns))


def test_a_damaged_parquet_file_is_named(tmp_path: Path) -> None:
    pd.DataFrame({"source": ["One"] * 100}).to_parquet(tmp_path / "a.parquet")
    content = (tmp_path / "a.parquet").read_bytes()
    (tmp_path / "a.parquet").write_bytes(content[: len(content) // 2])
    with pytest.raises(DataError, match=r"a\.parquet cannot be read as Parquet"):
        make_corpus(tmp_path, parquet(tmp_path / "a.parquet"))
