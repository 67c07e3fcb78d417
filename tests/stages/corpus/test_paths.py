"""What the corpus shows of the paths and URLs that it was read from, and how it tells that they changed."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import fsspec
import pandas as pd
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from pydantic import ValidationError

from data.errors import DataError
from pipeline.recipe.faults import validation_faults
from stages.corpus import stage as corpus
from stages.corpus.readers.paths import check_path, published_path
from tests.fixtures.corpora import make_corpus


def test_locations_hang_on_the_recipe_and_not_on_the_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "in").mkdir()
    pd.DataFrame({"source": ["One"]}).to_parquet(tmp_path / "in" / "a.parquet")
    monkeypatch.chdir(tmp_path)
    for path in ("in", "in/", "in/*.parquet", "in/a.parquet", "*/a.parquet"):
        made = make_corpus(tmp_path, {"kind": "parquet", "name": "a", "path": path})
        assert made.rows[0]["location"] == "in/a.parquet:0"


def test_locations_tell_no_folder_of_the_machine_and_keep_files_of_one_name_apart(tmp_path: Path) -> None:
    for name in ("x", "y"):
        (tmp_path / "in" / name).mkdir(parents=True)
        pd.DataFrame({"source": [f"One {name}"]}).to_parquet(tmp_path / "in" / name / "a.parquet")
    for path, expected in {
        "in": ["x/a.parquet:0", "y/a.parquet:0"],
        "in/": ["x/a.parquet:0", "y/a.parquet:0"],
        "in/*/a.parquet": ["x/a.parquet:0", "y/a.parquet:0"],
        "in/x/?.parquet": ["a.parquet:0"],
        "in/x/a.parquet": ["a.parquet:0"],
    }.items():
        for scheme in ("", "file://"):
            made = make_corpus(tmp_path, {"kind": "parquet", "name": "a", "path": f"{scheme}{tmp_path}/{path}"})
            assert sorted(row["location"] for row in made.rows) == expected
    (tmp_path / "s.txt").write_bytes(b"One\n\n")
    made = make_corpus(tmp_path, {"kind": "text", "name": "a", "source_file": str(tmp_path / "s.txt")})
    assert [row["location"] for row in (*made.rows, *made.rejects)] == ["s.txt:1", "s.txt:2"]


class Shop(MemoryFileSystem):  # type: ignore[misc]  # fsspec has no types
    """Files in memory, behind URLs with a query, such as signed ones are; told of them is what `tells` says."""

    protocol = "shop"
    store: ClassVar[dict[str, Any]] = {}
    tells: ClassVar[dict[str, Any]] = {}

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return "/" + path.removeprefix("shop://").partition("?")[0].strip("/")

    def info(self, path: str, **options: Any) -> dict[str, Any]:
        if "secret" in path and self._strip_protocol(path) not in self.store:
            raise OSError(f"403: shop:/{path}")
        return {"name": path, "type": "file", **self.tells}


@pytest.fixture
def shop() -> Iterator[type[Shop]]:
    fsspec.register_implementation("shop", Shop, clobber=True)
    yield Shop
    Shop.store.clear()


SIGNATURE = "?user=me&signature=secret"


def test_a_signed_url_is_read_and_shows_its_signature_nowhere(tmp_path: Path, shop: type[Shop]) -> None:
    for name, content in (("a.txt.gz", b"One\n\n"), ("b.tsv", b"Two\n")):
        with fsspec.open(f"shop://host/in/{name}", "wb", compression="infer") as stream:
            stream.write(content)
    pd.DataFrame({"source": ["Three"]}).to_parquet("shop://host/in/c.parquet")
    sources = [
        {"kind": "text", "name": "a", "source_file": f"shop://host/in/a.txt.gz{SIGNATURE}"},
        {"kind": "tsv", "name": "b", "file": f"shop://host/in/b.tsv{SIGNATURE}"},
        {"kind": "parquet", "name": "c", "path": f"shop://host/in/c.parquet{SIGNATURE}"},
    ]
    made = make_corpus(tmp_path, *sources)
    assert {row["source"]: row["location"] for row in made.rows} == {
        "One": "shop://host/in/a.txt.gz:1",
        "Two": "shop://host/in/b.tsv:1",
        "Three": "shop://host/in/c.parquet:0",
    }
    assert [row["location"] for row in made.rejects] == ["shop://host/in/a.txt.gz:2"]
    config = corpus.Config.model_validate({"source_language": "en", "target_language": "de", "sources": sources})
    written = json.dumps([config.model_dump(mode="json"), corpus.external_identities(config)])
    assert "shop://host/in/b.tsv?" in written
    assert "secret" not in written
    # The query may decide what a server sends, so it has its part in the fingerprint.
    other = config.model_validate(json.loads(json.dumps(config.model_dump()).replace("user=me", "user=you")))
    assert other.model_dump(mode="json") != config.model_dump(mode="json")


@pytest.mark.parametrize("kind", ["text", "tsv", "parquet", "catalog"])
def test_no_message_shows_a_signature(tmp_path: Path, shop: type[Shop], kind: str) -> None:
    url = f"shop://host/secret-{kind}{SIGNATURE}"
    options = {
        "text": {"source_file": url},
        "tsv": {"file": url, "source_column": "en"},
        "parquet": {"path": url},
        "catalog": {"path": url, "pattern": "{language}.json"},
    }[kind]
    source = {"kind": kind, "name": "a", **options}
    config = corpus.Config.model_validate({"source_language": "en", "target_language": "de", "sources": [source]})
    told = []
    with pytest.raises(DataError) as caught:
        corpus.external_identities(config)
    told.append(str(caught.value))
    with fsspec.open(url, "wb") as stream:
        stream.write(b"neither a table nor an archive")
    if kind != "text":
        with pytest.raises(DataError) as caught:
            make_corpus(tmp_path, source)
        told.append(str(caught.value))
    for message in told:
        assert f"shop://host/secret-{kind}" in message
        assert "signature" not in message


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("ftp://me:pass@word@host/a.txt", "ftp://host/a.txt"),
        ("https://token@host/a.txt?page=2", "https://host/a.txt"),
        ("simplecache::sftp://me@host/a.txt", "simplecache::sftp://host/a.txt"),
        ("zip://a.txt::ftp://me:word@host/a.zip", "zip://a.txt::ftp://host/a.zip"),
    ],
)
def test_a_user_or_password_in_a_url_is_a_fault_of_the_recipe(url: str, shown: str) -> None:
    source = {"kind": "text", "name": "a", "source_file": url}
    content = {"source_language": "en", "target_language": "de", "sources": [source]}
    with pytest.raises(ValidationError) as caught:
        corpus.Config.model_validate(content)
    [fault] = validation_faults(corpus.Config, caught.value, "corpus")
    assert fault.startswith(f"corpus.sources[0].source_file: {shown}: given with a user or password, which")
    assert "FSSPEC_FTP_PASSWORD" in fault
    assert "word@" not in fault
    assert "token" not in fault


@pytest.mark.parametrize(
    "url", ["github://owner:name@main/a.txt", "abfs://box@account.dfs.core.windows.net/a", "hf://datasets/a/b@main/c"]
)
def test_what_else_stands_before_an_at_sign_is_no_user(url: str) -> None:
    assert published_path(check_path(url)) == url


# As S3, HTTP, FTP, SFTP, WebHDFS, the hub of Hugging Face, GitHub, git and zip spell them.
TELLING = {
    "LastModified": "2026-03-01 12:00:00+00:00",
    "ETag": '"5d41402a"',
    "Content-MD5": "XUFAKrxL",
    "Digest": "sha-256=X48E9q",
    "Last-Modified": "Sun, 01 Mar 2026 12:00:00 GMT",
    "modify": "20260301120000",
    "mtime": 1772366400.0,
    "modificationTime": 1772366400000,
    "blob_id": "ce013625",
    "xet_hash": "7f83b165",
    "lfs": {"size": 5, "sha256": "2cf24dba", "pointer_size": 127},
    "sha": "ce013625",
    "hex": "ce013625",
    "CRC": 907060870,
    "size": 5,
}


@pytest.mark.parametrize("field", TELLING)
def test_whatever_a_server_tells_of_a_files_content_is_heard(
    shop: type[Shop], monkeypatch: pytest.MonkeyPatch, field: str
) -> None:
    source = {"kind": "text", "name": "a", "source_file": "shop://host/a.txt"}
    config = corpus.Config.model_validate({"source_language": "en", "target_language": "de", "sources": [source]})

    def identity(**tells: Any) -> dict[str, str]:
        monkeypatch.setattr(shop, "tells", {"size": 5} | tells)
        return corpus.external_identities(config)

    known = identity(**{field: TELLING[field], "atime": 1.0, "url": "shop://host/a.txt?signature=1"})
    assert identity(**{field: TELLING[field], "atime": 2.0, "url": "shop://host/a.txt?signature=2"}) == known
    assert identity(**{field: f"{TELLING[field]} and more"}) != known
