"""Every kind of source against the library that writes its format: what was written is what is read, sign by sign."""

import csv
import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from babel.messages.catalog import Catalog
from babel.messages.mofile import write_mo
from babel.messages.pofile import write_po
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from stages.corpus.readers.origins import Origin
from stages.corpus.stage import Config

# Signs of any script; a byte order mark has no place in a text, and is dropped wherever it stands.
SIGNS = st.characters(blacklist_categories=["Cs"], blacklist_characters="\0\ufeff")
TEXT = st.text(SIGNS, min_size=1, max_size=30)
# Of a file of lines that are mostly controls nobody would say that it is text.
PLAIN = {"blacklist_categories": ["Cs", "Cc"], "blacklist_characters": "\ufeff"}
LINE = st.text(st.characters(**PLAIN), min_size=1, max_size=30)
VALUE = st.text(st.characters(**PLAIN, whitelist_characters='\n\t",;\u2028'), min_size=1, max_size=30)
Pairs = list[tuple[str, str]]
many = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))


def of(strategy: st.SearchStrategy[str]) -> st.SearchStrategy[Pairs]:
    return st.lists(st.tuples(strategy, strategy), min_size=1, max_size=12)


def read(**source: Any) -> list[tuple[str | None, str | None]]:
    config = Config.model_validate(
        {"source_language": "en", "target_language": "de", "sources": [{"name": "a", **source}]}
    )
    found = list(Origin("corpus.sources[0]", config.sources[0], "en", "de", "source").rows(2000))
    assert all(row.reason is None for row in found)
    return [(row.source, row.reference) for row in found]


def lines(pairs: Pairs, side: int) -> bytes:
    return "".join(f"{pair[side]}\n" for pair in pairs).encode()


@many
@given(of(LINE), st.booleans())
def test_lines(tmp_path_factory: pytest.TempPathFactory, pairs: Pairs, windows: bool) -> None:
    folder = tmp_path_factory.mktemp("text")
    for side, name in enumerate(("a.en", "a.de")):
        content = lines(pairs, side)
        (folder / name).write_bytes(content.replace(b"\n", b"\r\n") if windows else content)
    found = read(
        kind="text", source_file=str(folder / "a.en"), target_file=str(folder / "a.de"), anything=True
    )  # what lines look like is tested elsewhere
    assert found == pairs


@many
@given(of(LINE))
def test_members_of_an_archive(tmp_path_factory: pytest.TempPathFactory, pairs: Pairs) -> None:
    path = tmp_path_factory.mktemp("opus") / "a.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for side, name in enumerate(("x.en", "x.de")):
            archive.writestr(name, lines(pairs, side))
    assert read(kind="opus", file=str(path), anything=True) == pairs


@many
@given(of(VALUE), st.sampled_from(["\t", ",", ";"]), st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]))
def test_quoted_tables(tmp_path_factory: pytest.TempPathFactory, pairs: Pairs, separator: str, quoting: Any) -> None:
    written = io.StringIO()
    csv.writer(written, delimiter=separator, quoting=quoting, lineterminator="\n").writerows([("en", "de"), *pairs])
    path = tmp_path_factory.mktemp("csv") / "a.csv"
    path.write_bytes(written.getvalue().encode())
    columns = {"source_column": "en", "target_column": "de", "separator": separator, "quoted": True}
    assert read(kind="tsv", file=str(path), anything=True, **columns) == pairs


def streamed(path: Path, table: pa.Table) -> None:
    with pa.ipc.new_stream(path, table.schema) as writer:
        writer.write_table(table, max_chunksize=3)


def filed(path: Path, table: pa.Table) -> None:
    with pa.ipc.new_file(path, table.schema, options=pa.ipc.IpcWriteOptions(compression="lz4")) as writer:
        writer.write_table(table, max_chunksize=3)


COLUMNS: dict[str, tuple[str, Callable[[Path, pa.Table], None]]] = {
    "parquet": ("parquet", lambda path, table: pq.write_table(table, path, row_group_size=5)),
    "parquet plain": ("parquet", lambda path, table: pq.write_table(table, path, use_dictionary=False, version="1.0")),
    "arrow stream": ("arrow", streamed),
    "arrow file": ("arrow", filed),
}


@pytest.mark.parametrize("name", COLUMNS)
@pytest.mark.parametrize("nested", [False, True])
def test_columns(tmp_path_factory: pytest.TempPathFactory, name: str, nested: bool) -> None:
    @many
    @given(of(TEXT), st.booleans())
    def check(pairs: Pairs, coded: bool) -> None:
        kind, write = COLUMNS[name]
        sides = [pa.array(side) for side in zip(*pairs, strict=True)]
        arrays = [side.dictionary_encode() if coded and not nested else side for side in sides]
        table = pa.table(arrays, ["en", "de"])
        if nested:
            table = pa.table({"pair": pa.StructArray.from_arrays(sides, ["en", "de"])})
        path = tmp_path_factory.mktemp("columns") / f"a.{kind}"
        write(path, table)
        before = "pair." if nested else ""
        assert read(kind=kind, path=str(path), source_column=f"{before}en", target_column=f"{before}de") == pairs

    check()


@many
@given(of(TEXT), st.booleans())
def test_catalogs_of_json(tmp_path_factory: pytest.TempPathFactory, pairs: Pairs, ascii_only: bool) -> None:
    assume(not any(pair[0].startswith("[%key") or pair[1].startswith("[%key") for pair in pairs))
    folder = tmp_path_factory.mktemp("json")
    for side, name in enumerate(("en", "de")):
        document = {"a": {str(number): pair[side] for number, pair in enumerate(pairs)}}
        (folder / f"{name}.json").write_text(json.dumps(document, ensure_ascii=ascii_only), encoding="utf-8")
    found = read(kind="catalog", path=str(folder), pattern="{language}.json")
    # A translation that is its source or nothing that shows is none.
    assert [source for source, _ in found] == [source for source, _ in pairs]
    for (_, reference), (source, target) in zip(found, pairs, strict=True):
        assert reference == target or (reference is None and " ".join(target.split()) in ("", " ".join(source.split())))


@pytest.mark.parametrize("suffix", ["po", "mo"])
def test_catalogs_of_gettext(tmp_path_factory: pytest.TempPathFactory, suffix: str) -> None:
    @many
    @given(of(st.text(st.characters(whitelist_categories=["L", "N", "P", "Zs"], whitelist_characters="\n\"\\"),
                      min_size=1, max_size=30)))  # fmt: skip
    def check(pairs: Pairs) -> None:
        wanted = {f"a{source}": f"b{target}" for source, target in pairs}
        catalog = Catalog(locale="de")
        for source, target in wanted.items():
            catalog.add(source, target)
        folder = tmp_path_factory.mktemp("gettext")
        with (folder / f"de.{suffix}").open("wb") as stream:
            (write_po if suffix == "po" else write_mo)(stream, catalog)
        assert dict(read(kind="catalog", path=str(folder), pattern="{language}." + suffix)) == wanted

    check()
