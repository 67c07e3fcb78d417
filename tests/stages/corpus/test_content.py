"""What a file holds decides how it is read, and whether: never its name alone."""

import bz2
import gzip
import io
import lzma
import sqlite3
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import zstandard
from babel.messages.catalog import Catalog
from babel.messages.mofile import write_mo
from babel.messages.pofile import write_po

from data.errors import DataError
from stages.corpus.readers.files.formats import recognise
from tests.fixtures.corpora import make_corpus

PAIRS = [{"en": f"Text {number}", "de": f"Text Nummer {number}"} for number in range(5)]
TMX = '<tmx version="1.4"><header srclang="en"/><body><tu><tuv xml:lang="en"><seg>One</seg></tuv></tu></body></tmx>'


def read(path: Path, kind: str = "text", **options: Any) -> Any:
    keys = {"text": "source_file", "tsv": "file", "parquet": "path"}
    return make_corpus(path.parent, {"kind": kind, "name": "a", keys[kind]: str(path), **options})


def _sqlite() -> bytes:
    connection = sqlite3.connect(":memory:")
    connection.execute("create table a (b text)")
    return connection.serialize()


def _zip(**members: str) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return made.getvalue()


def _with(write: Callable[[Any], Any]) -> bytes:
    made = io.BytesIO()
    write(made)
    return made.getvalue()


def _arrow(open_writer: Callable[[Any, pa.Schema], Any]) -> bytes:
    table = pa.Table.from_pylist(PAIRS)

    def write(stream: Any) -> None:
        with open_writer(stream, table.schema) as writer:
            writer.write_table(table)

    return _with(write)


def _catalog() -> Catalog:
    made = Catalog(locale="de")
    made.add("One", "Eins")
    return made


FOREIGN: dict[str, tuple[bytes, str]] = {
    "tmx": (TMX.encode(), r"\(TMX\).* kind = \"tmx\" reads it"),
    "tmx with a prolog": (f'<?xml version="1.0"?>\n<!DOCTYPE tmx SYSTEM "tmx14.dtd">\n{TMX}'.encode(), r"\(TMX\)"),
    "tmx in utf-16": (f'<?xml version="1.0" encoding="utf-16"?>{TMX}'.encode("utf-16"), r"kind = \"tmx\""),
    "xliff": (b'<?xml version="1.0"?><xliff version="1.2"><file/></xliff>', r"kind = \"xliff\""),
    "wmt": (b'<srcset setid="newstest2014" srclang="any">\n<doc sysid="ref">\n<seg id="1">One</seg>\n', r"SGML"),
    "mteval": (b'<!DOCTYPE mteval SYSTEM "mteval-xml-1.3.dtd">\n<mteval>\n<srcset>', r"SGML"),
    "iwslt": (b"<url>http://www.ted.com/talks/x</url>\n<title>A talk</title>\nText\n", r"SGML"),
    "xml": (b"<?xml version='1.0'?>\n<resources><string name='a'>One</string></resources>", r"an XML document"),
    "html": (b"\n<!DOCTYPE html>\n<html><head><title>404</title></head></html>", r"HTML.* download that failed"),
    "html without a prolog": (b"<html>\n<body>Not found</body></html>", r"HTML"),
    "jsonl": (pd.DataFrame(PAIRS).to_json(orient="records", lines=True).encode(), r"kind = \"jsonl\" reads it"),
    "json": (pd.DataFrame(PAIRS).to_json(orient="records").encode(), r"JSON document.* jq"),
    "json over lines": (pd.DataFrame(PAIRS).to_json(orient="records", indent=1).encode(), r"JSON document"),
    "json of one object": (b'{\n "data": [\n  {"en": "One"},\n  {"en": "Two"}\n ]\n}\n', r"JSON document"),
    "tsv": (pd.DataFrame(PAIRS).to_csv(sep="\t", index=False).encode(), r"kind = \"tsv\""),
    "csv": (pd.DataFrame(PAIRS).to_csv(index=False, quoting=1).encode(), r'separator = ",".* quoted = true'),
    "fast_align": (b"One ||| Eins\nTwo ||| Zwei\n", r"\|\|\|"),
    "po": (_with(lambda stream: write_po(stream, _catalog())), r"kind = \"catalog\""),
    "mo": (_with(lambda stream: write_mo(stream, _catalog())), r"kind = \"catalog\""),
    "srt": (b"1\r\n00:00:01,000 --> 00:00:02,000\r\nOne\r\n", "subtitles"),
    "vtt": (b"WEBVTT\n\n00:01.000 --> 00:02.000\nOne\n", "subtitles"),
    "rtf": (b"{\\rtf1\\ansi One}", "RTF"),
    "pdf": (b"%PDF-1.7\n1 0 obj", "PDF"),
    "docx": (_zip(**{"[Content_Types].xml": "<Types/>", "word/document.xml": "<w/>"}), "office document|a zip archive"),
    "odt": (_zip(mimetype="application/vnd.oasis.opendocument.text"), "office document|a zip"),
    "doc": (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(500), "office document"),
    "parquet": (_with(lambda stream: pd.DataFrame(PAIRS).to_parquet(stream)), r"kind = \"parquet\""),
    "arrow": (_arrow(pa.ipc.new_file), r"kind = \"arrow\""),
    "arrow stream": (_arrow(pa.ipc.new_stream), r"kind = \"arrow\""),
    "feather": (_with(lambda stream: pd.DataFrame(PAIRS).to_feather(stream)), r"kind = \"arrow\""),
    "orc": (_with(lambda stream: pd.DataFrame(PAIRS).to_orc(stream)), "ORC"),
    "numpy": (_with(lambda stream: np.save(stream, np.arange(3))), "NumPy"),
    "pickle": (_with(lambda stream: pd.DataFrame(PAIRS).to_pickle(stream)), "pickle"),
    "sqlite": (_sqlite(), "SQLite"),
    "lfs": (b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n", "git lfs pull"),
    "utf-16": ("One\nTwo\n".encode("utf-16"), "UTF-16.*iconv"),
    "utf-16 without a mark": ("One and two\nTwo\n".encode("utf-16-le"), "UTF-16.*iconv"),
    "utf-32": ("One\nTwo\n".encode("utf-32"), "UTF-32"),
    "random": (np.random.default_rng(1).bytes(5000), "no text"),
    "7z": (b"7z\xbc\xaf\x27\x1c\0\4", "7z"),
    "rar": (b"Rar!\x1a\x07\x01\0", "rar"),
    "compress": (b"\x1f\x9d\x90T\xca", r"compress \(\.Z\)"),
}  # fmt: skip


@pytest.mark.parametrize("name", FOREIGN)
@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "packed"])
def test_another_format_given_as_text_is_refused_by_its_name(
    tmp_path: Path, name: str, pack: Callable[[bytes], bytes]
) -> None:
    content, message = FOREIGN[name]
    path = tmp_path / "a.en"
    path.write_bytes(pack(content))
    with pytest.raises(DataError, match=message) as caught:
        read(path)
    assert "a.en" in str(caught.value)


@pytest.mark.parametrize(
    "content",
    [
        b"<b>Press</b> the button\nand wait\n",
        b"{name} is open\n{count, plural, one {a door} other {doors}}\n",
        b"[Verse 1]\nHello\n",
        b'"One," he said, "or two"\nTwo\n',
        b"# A heading\nmsgid is a word of gettext\n",
        b"One\ta stray tab\nTwo\n",
        b'{"a": 1} is JSON\nand this is not\n',
        b"1\n2\n3\n",
        "Γειά σου\nΚόσμε\n".encode(),
        "漢字\nかな\n".encode(),
        b"",
    ],
)
def test_text_that_only_resembles_another_format_is_text(content: bytes) -> None:
    assert recognise(content) is None


def test_whoever_wants_such_lines_as_text_can_say_so(tmp_path: Path) -> None:
    path = tmp_path / "a.en"
    path.write_bytes(b'{"a": "One"}\n{"a": "Two"}\n')
    with pytest.raises(DataError, match="JSON"):
        read(path)
    assert sorted(read(path, anything=True).pairs()) == [('{"a": "One"}', None), ('{"a": "Two"}', None)]


PACKERS: dict[str, Callable[[bytes], bytes]] = {
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
    ".lzma": lambda content: lzma.compress(content, format=lzma.FORMAT_ALONE),
    ".zst": zstandard.compress,
    ".lz4": lambda content: _lz4(content),
}


def _lz4(content: bytes) -> bytes:
    made = pa.BufferOutputStream()
    with pa.CompressedOutputStream(made, "lz4") as stream:
        stream.write(content)
    return made.getvalue().to_pybytes()


@pytest.mark.parametrize("suffix", PACKERS)
@pytest.mark.parametrize("name", ["a.en", "a.en.", "a.txt.gz"])
def test_packed_text_is_unpacked_whatever_its_name(tmp_path: Path, suffix: str, name: str) -> None:
    path = tmp_path / (f"{name}{suffix[1:]}" if name.endswith(".") else name)
    path.write_bytes(PACKERS[suffix](b"One\nTwo\n"))
    assert read(path).pairs() == [("One", None), ("Two", None)]


def test_zstd_needs_no_package_beside_those_that_are_installed(tmp_path: Path) -> None:
    """Neither the package zstandard nor Python 3.14's own module, of which fsspec takes one if it is there."""
    (tmp_path / "a.zst").write_bytes(zstandard.compress(b"One\n"))
    code = (
        "import sys; sys.modules['zstandard'] = None; sys.modules['compression'] = None\n"
        "from stages.corpus.readers.lines import read_lines\n"
        f"print([line.text for line in read_lines({str(tmp_path / 'a.zst')!r}, 100)])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "['One']\n"


def test_frames_that_are_to_be_skipped_may_stand_first(tmp_path: Path) -> None:
    (tmp_path / "a.zst").write_bytes(b"\x50\x2a\x4d\x18\x04\0\0\0abcd" + zstandard.compress(b"One\n"))
    assert read(tmp_path / "a.zst").pairs() == [("One", None)]


@pytest.mark.parametrize("suffix", [*PACKERS, ".zip", ".tar", ".tgz", ".Z", ".7z"])
def test_what_is_named_as_packed_and_empty_is_a_failed_download(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.en{suffix}"
    path.write_bytes(b"")
    with pytest.raises(DataError, match="is empty, 0 bytes; did its download fail"):
        read(path)


@pytest.mark.parametrize("suffix", [*PACKERS, ".zip", ".tar"])
@pytest.mark.parametrize(
    ("content", "message"), [(b"<html><body>502</body></html>", "an HTML page"), (b"One\nTwo\n", "something else")]
)
def test_a_page_saved_as_a_packed_file_is_none(tmp_path: Path, suffix: str, content: bytes, message: str) -> None:
    path = tmp_path / f"a.en{suffix}"
    path.write_bytes(content)
    with pytest.raises(DataError, match=rf"a\.en{suffix} cannot be read: it is named as .+, and found was {message}"):
        read(path)


def test_what_is_packed_twice_is_told(tmp_path: Path) -> None:
    (tmp_path / "a.gz").write_bytes(gzip.compress(bz2.compress(b"One\n")))
    with pytest.raises(DataError, match="packed by bzip2"):
        read(tmp_path / "a.gz")


@pytest.mark.parametrize("content", [b"One\rTwo\rThree\r", b"One\rTwo", b"One\nTwo\rThree\rFour\rFive\n"])
def test_lines_that_end_with_cr_alone_are_told(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.en"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"a\.en: .* with CR alone"):
        read(path)


@pytest.mark.parametrize("longest", [20, 2000])
def test_lines_with_cr_alone_are_told_even_where_they_are_too_long_for_one(tmp_path: Path, longest: int) -> None:
    path = tmp_path / "a.en"
    path.write_bytes(b"A text of some length\r" * 5000)
    with pytest.raises(DataError, match="with CR alone"):
        make_corpus(tmp_path, {"kind": "text", "name": "a", "source_file": str(path)}, max_characters=longest)


def test_a_byte_order_mark_is_gone_wherever_files_were_put_together(tmp_path: Path) -> None:
    path = tmp_path / "a.en"
    path.write_bytes(b"\xef\xbb\xbfOne\nTwo\n\xef\xbb\xbfThree\nFo\xef\xbb\xbfur\n\xef\xbb\xbf\n")
    made = read(path)
    assert sorted(made.pairs()) == [("Four", None), ("One", None), ("Three", None), ("Two", None)]
    assert made.reasons() == ["empty_source"]
    path.write_bytes(b"\xef\xbb\xbfOne\tEins\n\xef\xbb\xbfTwo\t\xef\xbb\xbfZwei\n")
    assert sorted(read(path, "tsv", target_column=1).pairs()) == [("One", "Eins"), ("Two", "Zwei")]


def tarred(folder: Path, name: str, mode: str, **members: str) -> Path:
    with tarfile.open(folder / name, mode) as archive:  # type: ignore[call-overload]
        for member, content in members.items():
            info = tarfile.TarInfo(member)
            info.size = len(content.encode())
            archive.addfile(info, io.BytesIO(content.encode()))
    return folder / name


OPUS = {"README": "About it\n", "LICENSE": "CC0\n", "X.de-en.de": "Eins\nZwei\n", "X.de-en.en": "One\nTwo\n"}


def archives(folder: Path) -> dict[str, Path]:
    """The same files in archives of all kinds."""
    (folder / "a.zip").write_bytes(_zip(**OPUS))
    made = {"a.tar": "w", "a.tar.gz": "w:gz", "a.tgz": "w:gz", "a.tar.bz2": "w:bz2", "a.txz": "w:xz"}
    found = {name: tarred(folder, name, mode, **OPUS) for name, mode in made.items()}
    (folder / "a.tar.zst").write_bytes(zstandard.compress((folder / "a.tar").read_bytes()))
    return {**found, "a.tar.zst": folder / "a.tar.zst", "a.zip": folder / "a.zip"}


def test_members_of_archives_are_read_by_their_names(tmp_path: Path) -> None:
    for path in archives(tmp_path).values():
        kind = "zip" if path.suffix == ".zip" else "tar"
        files = {side: f"{kind}://X.de-en.{code}::{path}" for side, code in (("source", "en"), ("target", "de"))}
        source = {"kind": "text", "name": "a", "source_file": files["source"], "target_file": files["target"]}
        made = make_corpus(tmp_path, source)
        assert sorted(made.pairs()) == [("One", "Eins"), ("Two", "Zwei")]
        assert made.rows[0]["location"].startswith(f"{kind}://X.de-en.en::{path.name}:")
        with pytest.raises(DataError, match=r"no member X\.en; it has LICENSE, README, X\.de-en\.de, X\.de-en\.en"):
            make_corpus(tmp_path, {"kind": "text", "name": "a", "source_file": f"{kind}://X.en::{path}"})


def test_a_bare_archive_of_several_files_is_refused_and_lists_them(tmp_path: Path) -> None:
    for path in archives(tmp_path).values():
        with pytest.raises(
            DataError, match=r"a (zip|tar) archive of LICENSE, README, X\.de-en\.de, X\.de-en\.en"
        ) as told:
            read(path)
        assert "://X.de-en.de::" in str(told.value)


def test_a_zip_of_one_file_is_that_file(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    path.write_bytes(_zip(**{"a.en": "One\n", "__MACOSX/._a.en": "\0\5\x16\7"}))
    assert read(path).pairs() == [("One", None)]
    path.write_bytes(_zip())
    with pytest.raises(DataError, match="archive of no files"):
        read(path)


def test_a_packed_member_is_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("en.gz", gzip.compress(b"One\n"))
        archive.writestr("de", "x")
    made = make_corpus(tmp_path, {"kind": "text", "name": "a", "source_file": f"zip://en.gz::{path}"})
    assert made.pairs() == [("One", None)]


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_a_damaged_archive_is_named(tmp_path: Path, kind: str) -> None:
    path = archives(tmp_path)[f"a.{kind}"]
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 3])
    with pytest.raises(DataError, match=rf"a\.{kind}"):
        make_corpus(tmp_path, {"kind": "text", "name": "a", "source_file": f"{kind}://X.de-en.en::{path}"})


@pytest.mark.parametrize("kind", ["parquet", "tsv"])
def test_other_readers_name_what_they_were_given(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "a.parquet"
    path.write_bytes(FOREIGN["tmx"][0])
    with pytest.raises(DataError, match=r"kind = \"tmx\" reads it"):
        read(path, kind)
    path.write_bytes(FOREIGN["parquet" if kind == "tsv" else "jsonl"][0])
    with pytest.raises(DataError, match=r"kind = \"(parquet|jsonl)\" reads it"):
        read(path, kind)
