"""Published test sets by their names; the oracle is sacreBLEU on the same published files."""

import io
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from sacrebleu.dataset import DATASETS

from data.errors import DataError
from stages.corpus import stage as corpus
from tests.fixtures.corpora import make_corpus

SGM = """<{side}set setid="newstest2019" srclang="any">
<doc sysid="ref" docid="d1" genre="news" origlang="en">
<p>
<seg id="1">{first}</seg>
<seg id="2">{second}  twice</seg>
</p>
</doc>
</{side}set>
"""
XML = """<?xml version='1.0' encoding='utf-8'?>
<dataset id="wmttest2022"><doc origlang="cs" id="d1">
<src lang="cs"><p><seg id="1">Jedna</seg><seg id="2">Dva</seg></p></src>
<ref lang="en" translator="B"><p><seg id="1">One</seg><seg id="2">Two</seg></p></ref>
<ref lang="en" translator="C"><p><seg id="1">Eins</seg><seg id="2">Zwei</seg></p></ref></doc></dataset>
"""
SETS: list[tuple[str, str, dict[str, str]]] = [
    (
        "wmt19",
        "en-de",
        {
            "sgm/newstest2019-ende-src.en.sgm": SGM.format(side="src", first="One &amp; one", second="Two"),
            "sgm/newstest2019-ende-ref.de.sgm": SGM.format(side="ref", first="Eins &amp; eins", second="Zwei"),
        },
    ),
    ("multi30k/2016", "en-de", {"test_2016_flickr.en": "One\nTwo \n", "test_2016_flickr.de": "Eins\nZwei\n"}),
    ("wmt22", "cs-en", {"wmt22-news-systems-1.1/xml/wmttest2022.cs-en.all.xml": XML}),
]


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Nothing is fetched: whatever asks is written down and gets an empty answer."""
    asked: list[str] = []

    def urlopen(url: str, *_: Any, **__: Any) -> io.BytesIO:
        asked.append(url)
        return io.BytesIO(b"")

    monkeypatch.setattr(urllib.request, "urlopen", urlopen)
    return asked


def published(folder: Path, name: str, files: dict[str, str]) -> Path:
    for path, content in files.items():
        target = folder / name / "raw" / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(content, encoding="utf-8")
    return folder


def of(folder: Path | None, name: str, **options: Any) -> dict[str, Any]:
    return {"kind": "sacrebleu", "name": "a", "test_set": name, "folder": folder and str(folder), **options}


def texts(name: str, pair: str, raw: Path, scratch: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Source and first reference as sacreBLEU itself makes them of the published files."""
    dataset = DATASETS[name]
    (scratch / name).mkdir(parents=True)
    monkeypatch.setattr(dataset, "_outdir", str(scratch / name))
    monkeypatch.setattr(dataset, "_rawdir", str(raw / name / "raw"))
    monkeypatch.setattr(dataset, "maybe_download", lambda: None, raising=False)
    return [Path(dataset.get_source_file(pair)), Path(dataset.get_reference_files(pair)[0])]


@pytest.mark.parametrize(("name", "pair", "files"), SETS)
def test_a_test_set_is_the_one_that_sacrebleu_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, offline: list[str], name: str, pair: str, files: dict[str, str]
) -> None:
    source, target = pair.split("-")
    folder = published(tmp_path / "sets", name, files)
    made = make_corpus(tmp_path, of(folder, name), source_language=source, target_language=f"{target}-DE")
    before = sorted(path.relative_to(folder) for path in folder.rglob("*"))
    made_files = texts(name, pair, folder, tmp_path / "cache", monkeypatch)
    lines = [path.read_text(encoding="utf-8").splitlines() for path in made_files]
    assert sorted(made.pairs()) == sorted((one.strip(), other) for one, other in zip(*lines, strict=True))
    assert len(made.rows) == 2
    # The folder is only read; and the cache as sacreBLEU leaves it gives the same.
    assert before == sorted(path.relative_to(folder) for path in folder.rglob("*"))
    monkeypatch.undo()
    monkeypatch.setenv("SACREBLEU", str(tmp_path / "cache"))
    again = make_corpus(tmp_path, of(None, name), source_language=source, target_language=target)
    assert again.pairs() == made.pairs()
    assert offline == []


def config(source: dict[str, Any], target: str = "de") -> corpus.Config:
    content = {"source_language": "en", "target_language": target, "sources": [source]}
    return corpus.Config.model_validate(content)


def test_what_is_not_there_is_a_fault_before_anything_runs_and_nothing_is_fetched(
    tmp_path: Path, offline: list[str]
) -> None:
    for source, target, message in [
        (of(tmp_path, "wmt19"), "de", r"wmt19 en-de is not in .*; nothing is fetched unless download = true, or run"),
        (of(tmp_path, "wmt91"), "de", r"wmt91 is no test set of sacreBLEU; did you mean .*wmt19"),
        (of(tmp_path, "wmt19"), "is", r"wmt19 has no pair en-is; sacreBLEU has it for .*en-de"),
    ]:
        [fault] = corpus.faults(config(source, target))
        assert fault.startswith("corpus.sources[0].test_set: ")
        with pytest.raises(DataError, match=message):
            make_corpus(tmp_path, source, target_language=target)
        with pytest.raises(DataError, match=message):
            raise DataError(fault)
    assert offline == []


def test_only_who_says_so_lets_sacrebleu_fetch(tmp_path: Path, offline: list[str]) -> None:
    source = of(tmp_path, "wmt19", download=True)
    assert corpus.faults(config(source)) == []
    assert offline == []
    with pytest.raises(DataError, match="wmt19 en-de: sacreBLEU cannot make it"):
        make_corpus(tmp_path, source)
    assert offline == ["https://data.statmt.org/wmt19/translation-task/test.tgz"]


def test_the_files_belong_to_the_fingerprint(tmp_path: Path) -> None:
    name, _, files = SETS[0]
    folder = published(tmp_path, name, files)
    found = corpus.external_files(config(of(folder, name)))
    assert [path.relative_to(folder / name / "raw").as_posix() for path in found] == list(files)
