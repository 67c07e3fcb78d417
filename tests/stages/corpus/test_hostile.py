"""Files that are damaged or made to do harm: an error in words or rejected rows, in bounded memory."""

import bz2
import gzip
import io
import json
import lzma
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from babel.messages.catalog import Catalog
from babel.messages.mofile import write_mo
from babel.messages.pofile import write_po
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from data.errors import DataError
from stages.corpus.readers.origins import Origin
from stages.corpus.readers.rows import RawRow
from stages.corpus.stage import Config

PAIRS = [(f"Text {number}", f"Text Nummer {number} äöü") for number in range(30)]
TABLE = pa.table({"source": [text for text, _ in PAIRS], "target": [text for _, text in PAIRS]})
TMX = "".join(
    f'<tu><tuv xml:lang="en"><seg>{text}</seg></tuv><tuv xml:lang="de"><seg>{other}</seg></tuv></tu>'
    for text, other in PAIRS
)
XLIFF = "".join(f"<trans-unit><source>{text}</source><target>{other}</target></trans-unit>" for text, other in PAIRS)


def written(write: Callable[[Any], Any]) -> bytes:
    made = io.BytesIO()
    write(made)
    return made.getvalue()


def streamed(stream: Any) -> None:
    with pa.ipc.new_stream(stream, TABLE.schema) as writer:
        writer.write_table(TABLE, max_chunksize=7)


def zipped(stream: Any) -> None:
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.en", "\n".join(text for text, _ in PAIRS))
        archive.writestr("x.de", "\n".join(text for _, text in PAIRS))


def tarred(stream: Any) -> None:
    content = "\n".join(text for text, _ in PAIRS).encode()
    with tarfile.open(fileobj=stream, mode="w:gz", format=tarfile.PAX_FORMAT) as archive:
        info = tarfile.TarInfo("ä" * 60 + "x.en")
        info.size = len(content)
        archive.addfile(info, io.BytesIO(content))


def catalogs(*names: str) -> Callable[[Any], None]:
    """A zip of catalogs, not packed, so that damage reaches them."""

    def write(stream: Any) -> None:
        with zipfile.ZipFile(stream, "w") as archive:
            for side, name in enumerate(names):
                archive.writestr(name, CATALOGS[name.rpartition(".")[2]](side))

    return write


def gettext_catalog() -> Catalog:
    made = Catalog(locale="de")
    for text, translation in PAIRS:
        made.add(text, translation)
    return made


CATALOGS: dict[str, Callable[[int], bytes]] = {
    "json": lambda side: json.dumps({str(number): pair[side] for number, pair in enumerate(PAIRS)}).encode(),
    "po": lambda _: written(lambda stream: write_po(stream, gettext_catalog())),
    "mo": lambda _: written(lambda stream: write_mo(stream, gettext_catalog())),
}
LINES = "".join(f"{text}\t{other}\n" for text, other in PAIRS).encode()
XLIFF_HEAD = '<xliff version="1.2" xmlns="urn:oasis:names:tc:xliff:document:1.2"><file source-language="en"><body>'
# A valid file of each kind: its name, its content, and the source's keys but for the path.
FILES: dict[str, tuple[bytes, dict[str, Any]]] = {
    "text": (LINES.replace(b"\t", b" "), {"kind": "text", "source_file": ""}),
    "text.gz": (gzip.compress(LINES.replace(b"\t", b" ")), {"kind": "text", "source_file": ""}),
    "text.zst": (zstandard.compress(LINES.replace(b"\t", b" ")), {"kind": "text", "source_file": ""}),
    "tsv": (LINES, {"kind": "tsv", "file": "", "target_column": 1}),
    "csv": (
        TABLE.to_pandas().to_csv(index=False).encode(),
        {"kind": "tsv", "file": "", "source_column": "source", "separator": ",", "quoted": True},
    ),
    "jsonl": (TABLE.to_pandas().to_json(orient="records", lines=True).encode(), {"kind": "jsonl", "file": ""}),
    "parquet": (written(lambda stream: pq.write_table(TABLE, stream)), {"kind": "parquet", "path": ""}),
    "arrow": (written(streamed), {"kind": "arrow", "path": ""}),
    "feather": (
        written(lambda stream: pd.DataFrame(TABLE.to_pydict()).to_feather(stream)), {"kind": "arrow", "path": ""}
    ),
    "tmx": (f'<tmx version="1.4"><body>{TMX}</body></tmx>'.encode(), {"kind": "tmx", "file": ""}),
    "xliff": (f"{XLIFF_HEAD}{XLIFF}</body></file></xliff>".encode(), {"kind": "xliff", "file": ""}),
    "zip": (written(zipped), {"kind": "opus", "file": ""}),
    "json.zip": (
        written(catalogs("en.json", "de.json")), {"kind": "catalog", "path": "", "pattern": "{language}.json"}
    ),
    "po.zip": (written(catalogs("de.po")), {"kind": "catalog", "path": "", "pattern": "{language}.po"}),
    "mo.zip": (written(catalogs("de.mo")), {"kind": "catalog", "path": "", "pattern": "{language}.mo"}),
    "tgz": (written(tarred), {"kind": "text", "source_file": "tar://" + "ä" * 60 + "x.en::"}),
}  # fmt: skip


def rows(folder: Path, name: str, content: bytes) -> list[RawRow]:
    path = folder / f"a.{name}"
    path.write_bytes(content)
    options = {
        key: f"{value}{path}" if key in {"source_file", "file", "path"} else value
        for key, value in FILES[name][1].items()
    }
    source = {"name": "a", **options}
    config = Config.model_validate({"source_language": "en", "target_language": "de", "sources": [source]})
    return list(Origin("corpus.sources[0]", config.sources[0], "en", "de", False).rows(2000))


@pytest.mark.parametrize("name", FILES)
def test_the_files_are_valid_before_they_are_damaged(tmp_path: Path, name: str) -> None:
    assert len(rows(tmp_path, name, FILES[name][0])) == len(PAIRS)


DAMAGE = st.lists(
    st.tuples(
        st.sampled_from(["flip", "cut", "drop", "insert", "swap"]),
        st.floats(0, 1, exclude_max=True),
        st.binary(max_size=8),
    ),
    min_size=1,
    max_size=4,
)


def damaged(content: bytes, damage: list[tuple[str, float, bytes]]) -> bytes:
    for kind, where, more in damage:
        at = int(where * len(content))
        byte = more[:1] or b"\xff"
        content = {
            "flip": content[:at] + byte + content[at + 1 :],
            "cut": content[:at],
            "drop": content[:at] + content[at + 1 + len(more) :],
            "insert": content[:at] + more + content[at:],
            "swap": content[at:] + content[:at],
        }[kind]
    return content


@pytest.mark.parametrize("name", FILES)
def test_a_damaged_file_ends_in_an_error_in_words_or_in_rows(tmp_path: Path, name: str) -> None:
    @settings(deadline=None, max_examples=150, suppress_health_check=list(HealthCheck))
    @given(DAMAGE)
    def check(damage: list[tuple[str, float, bytes]]) -> None:
        try:
            found = rows(tmp_path, name, damaged(FILES[name][0], damage))
        except DataError as error:
            assert f"a.{name}" in str(error)
        else:
            assert len(found) < 10 * len(PAIRS)

    check()


def test_damage_that_once_ended_in_a_traceback(tmp_path: Path) -> None:
    for name, damage in [
        ("arrow", [("flip", 0.89453125, b"")]),  # a length of exabytes
        ("zip", [("swap", 0.34765625, b""), ("drop", 0.75, bytes(3)), ("flip", 0.34765625, b"")]),  # version 25.5
        ("zip", [("drop", 0.796875, b"\0"), ("insert", 0.78125, bytes(2))]),  # a member without a name
        ("arrow", [("flip", 0.03515625, b"")]),  # names of columns that are no UTF-8
        ("feather", [("flip", 0.96875, b"")]),
    ]:
        with pytest.raises(DataError, match=rf"a\.{name}"):
            rows(tmp_path, name, damaged(FILES[name][0], damage))


@pytest.mark.parametrize("name", FILES)
def test_any_bytes_end_so(tmp_path: Path, name: str) -> None:
    @settings(deadline=None, max_examples=60, suppress_health_check=list(HealthCheck))
    @given(st.binary(max_size=300))
    def check(content: bytes) -> None:
        head = FILES[name][0][:16]
        for whole in (content, head + content):
            try:
                rows(tmp_path, name, whole)
            except DataError as error:
                assert f"a.{name}" in str(error)

    check()


SIZE = 300_000_000
ENTITIES = "".join(f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 10))
BOMBS: dict[str, tuple[str, str]] = {
    # What is written by gzip as the reader wants it: before, a byte that is repeated, after.
    "a line": ("text", "x"),
    "a cell": ("tsv", "x"),
    "a line of JSON": ("jsonl", '{"source": "'),
    "a list of JSON": ("jsonl", "["),
    "a text": ("tmx", '<tmx><tu><tuv xml:lang="en"><seg>x'),
    "a value": ("tmx", '<tmx><tu a="x'),
    "a name": ("tmx", "<tmx><x"),
    "a comment": ("tmx", "<tmx><!-- x"),
    "tags in tags": ("tmx", "<tmx><tu>"),
    "a text in a unit": ("xliff", f"{XLIFF_HEAD}<trans-unit><source>x"),
}
PROGRAM = """
import json, sys
from data.errors import DataError
from stages.corpus.readers.origins import Origin
from stages.corpus.stage import Config
import defusedxml.ElementTree, pyarrow.parquet
source = json.loads(sys.argv[1])
config = Config.model_validate({"source_language": "en", "target_language": "de", "sources": [source]})
peak = lambda: int(open("/proc/self/status").read().split("VmHWM:")[1].split()[0])  # ru_maxrss is the parent's, too
before = peak()
try:
    told = [row.reason for row in Origin("s", config.sources[0], "en", "de", False).rows(2000)]
except DataError as error:
    told = str(error)
print(json.dumps([peak() - before, told]))
"""


def in_a_process(source: dict[str, Any]) -> tuple[float, Any]:
    """Megabytes that reading took, and the reasons or the error."""
    command = [sys.executable, "-c", PROGRAM, json.dumps({"name": "a", **source})]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    kilobytes, told = json.loads(done.stdout)
    return kilobytes / 1024, told


def bomb(path: Path, begin: str) -> None:
    unit = {"<tmx><tu>": b"<a>", "[": b"["}.get(begin, b"x")
    with gzip.open(path, "wb", compresslevel=1) as stream:
        stream.write(begin.encode())
        for _ in range(SIZE // 3_000_000):
            stream.write(unit * (3_000_000 // len(unit)))


@pytest.mark.slow
@pytest.mark.parametrize("name", BOMBS)
def test_what_never_ends_takes_no_memory(tmp_path: Path, name: str) -> None:
    kind, begin = BOMBS[name]
    bomb(tmp_path / "a.gz", begin)
    keys = {"text": "source_file"}
    megabytes, told = in_a_process({"kind": kind, keys.get(kind, "file"): str(tmp_path / "a.gz")})
    assert megabytes < 120, f"{megabytes} MB"
    if kind in {"text", "tsv", "jsonl"}:
        assert told == ["too_long"] or "JSON document" in told
    else:
        assert "no XML that can be read" in told


@pytest.mark.parametrize("kind", ["tmx", "xliff"])
@pytest.mark.parametrize(
    "head",
    [
        f'<!DOCTYPE r [<!ENTITY a0 "x">{ENTITIES}]>',
        '<!DOCTYPE r [<!ENTITY a9 SYSTEM "file:///etc/passwd">]>',
        '<!DOCTYPE r [<!ENTITY % a9 SYSTEM "http://localhost:9/x.dtd"> %a9;]>',
    ],
)
def test_entities_are_refused(tmp_path: Path, kind: str, head: str) -> None:
    content = FILES[kind][0].decode().replace("Text 0", "&a9;")
    with pytest.raises(DataError, match=rf"a\.{kind}:1: .*it defines entities, which are never read"):
        rows(tmp_path, kind, f'<?xml version="1.0"?>{head}{content}'.encode())


@pytest.mark.slow
def test_an_archive_that_unpacks_to_far_more_takes_no_memory(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("x.en", "x.de"):
            with archive.open(name, "w", force_zip64=True) as stream:
                for _ in range(100):
                    stream.write(b"x" * 3_000_000)
    megabytes, told = in_a_process({"kind": "opus", "file": str(tmp_path / "a.zip")})
    assert megabytes < 120
    assert told == ["too_long"]


PACKERS: dict[str, Callable[[Path], Any]] = {
    "bz2": lambda path: bz2.BZ2File(path, "wb", compresslevel=1),
    "xz": lambda path: lzma.LZMAFile(path, "wb", preset=0),  # noqa: SIM115
    "zst": lambda path: zstandard.open(path, "wb"),
    "lz4": lambda path: pa.CompressedOutputStream(str(path), "lz4"),
}


@pytest.mark.slow
@pytest.mark.parametrize("packing", PACKERS)
def test_a_line_without_end_takes_no_memory_however_it_is_packed(tmp_path: Path, packing: str) -> None:
    with PACKERS[packing](tmp_path / "a") as stream:
        for _ in range(100):
            stream.write(b"x" * 3_000_000)
    megabytes, told = in_a_process({"kind": "text", "source_file": str(tmp_path / "a")})
    assert megabytes < 120
    assert told == ["too_long"]


@pytest.mark.parametrize("name", ["text", "tsv", "jsonl", "tmx"])
@pytest.mark.parametrize("packing", PACKERS)
def test_what_is_cut_anywhere_is_an_error_and_never_a_shorter_file(tmp_path: Path, name: str, packing: str) -> None:
    with PACKERS[packing](tmp_path / "whole") as stream:
        stream.write(FILES[name][0])
    whole = (tmp_path / "whole").read_bytes()
    assert len(rows(tmp_path, name, whole)) == len(PAIRS)
    # Of its first ten bytes nothing tells what it was.
    for end in range(10, len(whole), max(len(whole) // 40, 1)):
        with pytest.raises(DataError, match=rf"a\.{name}"):
            rows(tmp_path, name, whole[:end])


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["parquet", "arrow"])
def test_a_text_that_stands_for_thousands_takes_its_place_once(tmp_path: Path, kind: str) -> None:
    """Four gigabytes of text in one value that all rows point to."""
    column = pa.DictionaryArray.from_arrays(pa.array([0] * 4000, pa.int32()), pa.array(["x" * 1_000_000]))
    path = str(tmp_path / "a")
    if kind == "parquet":
        pq.write_table(pa.table({"source": column}), path, compression="zstd", store_schema=False)
    else:
        with pa.ipc.new_stream(path, pa.schema([("source", column.type)])) as writer:
            writer.write_table(pa.table({"source": column}))
    megabytes, told = in_a_process({"kind": kind, "path": path})
    assert megabytes < 120
    assert told == [None] * 4000


@pytest.mark.slow
def test_a_column_of_parquet_that_unpacks_to_far_more_is_refused(tmp_path: Path) -> None:
    table = pa.table({"source": ["x" * 1000] * 300_000})
    pq.write_table(table, tmp_path / "a.parquet", compression="zstd", use_dictionary=False, data_page_size=1 << 30)
    megabytes, told = in_a_process({"kind": "parquet", "path": str(tmp_path / "a.parquet")})
    assert megabytes < 120
    assert "a.parquet cannot be read as Parquet: " in told
    assert "as no text does" in told


@pytest.mark.slow
@pytest.mark.parametrize("lie", [False, True])
def test_a_catalog_that_unpacks_to_far_more_is_refused(tmp_path: Path, lie: bool) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("en.json", b'{"a": "' + b"x" * SIZE)
    if lie:  # of its size, in both places where an archive says it
        content = bytearray((tmp_path / "a.zip").read_bytes())
        listed = content.rfind(b"PK\x01\x02")
        for place in (22, listed + 24):
            content[place : place + 4] = (1000).to_bytes(4, "little")
        (tmp_path / "a.zip").write_bytes(bytes(content))
    megabytes, told = in_a_process({"kind": "catalog", "path": str(tmp_path / "a.zip"), "pattern": "{language}.json"})
    assert megabytes < 120
    assert "none of its 1 files can be read; en.json" in told


@pytest.mark.slow
def test_a_document_of_empty_objects_is_refused_before_they_are_built(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("en.json", "[" + "{}," * 20_000_000 + "1]")
    megabytes, told = in_a_process({"kind": "catalog", "path": str(tmp_path / "a.zip"), "pattern": "{language}.json"})
    assert megabytes < 250
    assert "about 40000001 values; expected at most 2000000" in told
    (tmp_path / "a.gz").write_bytes(gzip.compress(b'{"source": "a", "x": [' + b"{}," * 5_000_000 + b"1]}\n", 1))
    megabytes, told = in_a_process({"kind": "jsonl", "file": str(tmp_path / "a.gz")})
    assert megabytes < 120
    assert "is an object of JSON" in told


@pytest.mark.slow
def test_a_header_of_tar_that_claims_to_be_long_is_refused(tmp_path: Path) -> None:
    info = tarfile.TarInfo("x")
    info.type, info.size = tarfile.XHDTYPE, SIZE
    with gzip.open(tmp_path / "a.tar.gz", "wb", compresslevel=1) as stream:
        stream.write(info.tobuf(tarfile.USTAR_FORMAT))
        for _ in range(100):
            stream.write(b"x" * 3_000_000)
    megabytes, told = in_a_process({"kind": "text", "source_file": f"tar://x.en::{tmp_path}/a.tar.gz"})
    assert megabytes < 120
    assert "a.tar.gz cannot be read: a header of" in told
