"""docs/sources.md: every line that it gives for a kind is read out of the page and works on files as it says."""

import gzip
import json
import re
import tarfile
import tomllib
import typing
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from datasets import Dataset
from translate.storage.po import pofile
from translate.storage.tmx import tmxfile
from translate.storage.xliff import xlifffile

from stages.corpus.readers.rows import Reason
from stages.corpus.readers.sources import Source
from tests.fixtures.corpora import make_corpus

PAGE = (Path(__file__).parents[3] / "docs" / "sources.md").read_text(encoding="utf-8")
LINES = re.findall(r"^\{kind = .*\}$", PAGE, re.MULTILINE)
PAIRS = [("One", "Eins"), ("Two", "Zwei")]
ENGLISH, GERMAN = ("".join(f"{pair[side]}\n" for pair in PAIRS) for side in (0, 1))
RECORDS = [{"translation": {"en": text, "de": translation}} for text, translation in PAIRS]


def write(path: str, content: str | bytes, pack: Callable[[bytes], bytes] = bytes) -> None:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_bytes(pack(content.encode() if isinstance(content, str) else content))


def make_text(_: Mapping[str, Any]) -> None:
    for language, content in (("en", ENGLISH), ("de", GERMAN)):
        write(f"news.{language}.zst", content, zstandard.compress)
        write(f"crawl/{language}/00.gz", content, gzip.compress)
        write(f"v7/x.{language}", content)
    with tarfile.open("europarl.tgz", "w:gz") as archive:
        archive.add("v7")


def make_opus(source: Mapping[str, Any]) -> None:
    with zipfile.ZipFile(source["file"], "w") as archive:
        for name, content in (("README", "x"), ("Books.de-en.de", GERMAN), ("Books.de-en.en", ENGLISH)):
            archive.writestr(name, content)


def make_tsv(source: Mapping[str, Any]) -> None:
    separator = source.get("separator", "\t")
    header = [("en", "de")] if source.get("quoted") else []
    lines = "".join(f"{first}{separator}{second}\n" for first, second in [*header, *PAIRS])
    write(source["file"], lines, gzip.compress if source["file"].endswith(".gz") else bytes)


def make_jsonl(source: Mapping[str, Any]) -> None:
    write(source["file"].replace("*", "0"), "\n".join(map(json.dumps, RECORDS)), zstandard.compress)


def make_parquet(source: Mapping[str, Any]) -> None:
    Path(source["path"]).mkdir(parents=True)
    pq.write_table(pa.Table.from_pylist(RECORDS), f"{source['path']}/0.parquet")


def make_arrow(source: Mapping[str, Any]) -> None:
    Dataset.from_list(RECORDS).save_to_disk(source["path"])


def make_tmx(source: Mapping[str, Any]) -> None:
    memory = tmxfile()
    for text, translation in PAIRS:
        memory.addtranslation(text, "en-US", translation, "de-DE")
    write(source["file"], bytes(memory), gzip.compress)


def make_xliff(source: Mapping[str, Any]) -> None:
    document = xlifffile(sourcelanguage="en", targetlanguage="de")
    for text, translation in PAIRS:
        unit = document.addsourceunit(text)
        unit.target = translation
        unit.markapproved(True)
    write(source["file"].replace("*", "a"), bytes(document))


def make_catalog(source: Mapping[str, Any]) -> None:
    if source["pattern"].endswith(".po"):
        catalog = pofile()
        for text, translation in PAIRS:
            catalog.addsourceunit(text).target = translation
        write(f"{source['path']}/de/LC_MESSAGES/a.po", bytes(catalog))
        return
    for side, language in enumerate(("en", "de")):
        write(
            f"{source['path']}/{language}/a.json", json.dumps({str(key): pair[side] for key, pair in enumerate(PAIRS)})
        )


def make_sacrebleu(source: Mapping[str, Any]) -> None:
    name, folder = source["test_set"], source.get("folder", "cache")
    for side, content in (("src", ENGLISH), ("ref", GERMAN)):
        write(f"{folder}/{name}/{name.replace('/', '_')}.en-de.{side}", content)


MAKERS: dict[str, Callable[[Mapping[str, Any]], None]] = {
    "text": make_text, "opus": make_opus, "tsv": make_tsv, "jsonl": make_jsonl, "parquet": make_parquet,
    "arrow": make_arrow, "tmx": make_tmx, "xliff": make_xliff, "catalog": make_catalog, "sacrebleu": make_sacrebleu,
}  # fmt: skip


@pytest.mark.parametrize("line", LINES)
def test_every_line_of_the_page_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SACREBLEU", "cache")
    source = tomllib.loads(f"source = {line}")["source"]
    MAKERS[source["kind"]](source)
    made = make_corpus(tmp_path, source)
    assert sorted(made.pairs()) == PAIRS
    assert made.rejects == []


def test_the_page_has_every_kind_and_every_reason() -> None:
    models = typing.get_args(typing.get_args(Source)[0])
    kinds = {typing.get_args(model.model_fields["kind"].annotation)[0] for model in models}
    assert {tomllib.loads(f"source = {line}")["source"]["kind"] for line in LINES} == kinds == MAKERS.keys()
    assert {reason.value for reason in Reason} <= set(re.findall(r"`(\w+)`", PAGE))
