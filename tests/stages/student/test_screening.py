"""What is held out of further datasets: against looking at every text, and looked for once."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from data.ids import text_digest
from stages.student import screening
from stages.student.screening import HeldOut, screened
from tests.fixtures.artifacts import artifact_of_tables

# Of what a text may be written anew with: cases, spaces, quotes, escapes, forms that NFKC folds, scripts, nothing.
LETTERS = "aAbBzZ ßẞäÄéÉöÿŸøıİкКёЁйσςΣ漢ａＡﬁſ1２.5,-–—“”'’&;#%/…ªµ\u0301\u200d\xa0 "
MADE = [
    *("a b", "A  B.", "“a b”", "a&amp;b", "ａ ｂ", "Straße", "STRASSE", "strasse", "ﬁn", "fin", "Fin!", "1.5", "15"),
    *(
        "1,5",
        "",
        "...",
        "…",
        "Йод",
        "йод",
        "e\u0301a",
        "éa",
        "ÉA",
        "漢字",
        "漢 字。",
        "σας",
        "ΣΑΣ",
        "ſo",
        "so",
        "İzmir",
    ),
]
COLUMNS = ("source", "reference", "target")


def table(texts: list[tuple[str, str | None, str]], languages: tuple[str, str] = ("en", "de")) -> pa.Table:
    columns = {
        name: pa.array(column, pa.string()) for name, column in zip(COLUMNS, zip(*texts, strict=True), strict=True)
    }
    tags = zip(("source_language", "target_language"), languages, strict=True)
    return pa.table(columns | {name: pa.array([tag] * len(texts), pa.string()) for name, tag in tags})


def by_hand(found: pa.Table, held_out: list[tuple[str, str]]) -> list[int]:
    known = {text_digest(*each) for each in held_out}
    rows = []
    for number, row in enumerate(found.to_pylist()):
        texts = [("en", row["source"]), *(("de", row[name]) for name in COLUMNS[1:] if row[name] is not None)]
        if any(text_digest(*each) in known for each in texts):
            rows.append(number)
    return rows


def random_texts(random: np.random.Generator, count: int) -> list[str]:
    return ["".join(random.choice(list(LETTERS), random.integers(0, 5))) for _ in range(count)]


@pytest.mark.parametrize("seed", range(8))
def test_it_finds_what_looking_at_every_text_finds(seed: int) -> None:
    random = np.random.default_rng(seed)
    texts = [*MADE, *random_texts(random, 1500)]
    rows = [(one, None if number % 3 == 0 else other, third) for number, (one, other, third) in
            enumerate(zip(*(random.permutation(texts) for _ in COLUMNS), strict=True))]  # fmt: skip
    held_out = [("en" if number % 2 else "de", text) for number, text in enumerate([*MADE[::2], *texts[40:90]])]
    found = HeldOut(iter(held_out)).rows(table(rows))
    assert found == by_hand(table(rows), held_out)
    assert 0 < len(found) < len(rows)


def test_most_rows_are_not_looked_at_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[str] = []
    held_out = HeldOut(iter([("en", "turn on the light"), ("de", "Schalte das Licht ein")]))
    monkeypatch.setattr(screening, "text_digest", lambda language, text: looked.append(text) or 0)
    rows = [(f"open door {number:b} of {'abc'[number % 3]}", "Tür auf", "Öffne “sie”") for number in range(500)]
    assert held_out.rows(table(rows)) == [] and looked == []


def artifacts(root: Path, held_out: str = "a b") -> dict[str, Any]:
    train = table([("a b", "c", "d"), ("e", "f", "g"), ("h", None, "A, B!")], ("de", "en"))
    tests = table([("x", held_out, "-")]).select(["source", "reference", "source_language", "target_language"])
    return {
        "dataset": artifact_of_tables(root, "dataset", {"train-00000": train, "train-00001": train.slice(1, 1)}),
        "corpus": artifact_of_tables(root, "corpus", {"test-00000": tests, "train-00000": tests}),
    }


def test_it_is_found_once_and_anew_for_other_texts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    made = artifacts(tmp_path / "one")
    read: list[str] = []
    whole = screening._of_shard
    monkeypatch.setattr(screening, "_of_shard", lambda *given: (read.append(given[1]), whole(*given))[1])
    wanted = [{"shard": "train-00000", "row": 0, "source_language": "de", "target_language": "en"}]
    assert screened(**made).to_pylist() == wanted and read == ["train-00000", "train-00001"]
    read.clear()
    assert screened(**made).to_pylist() == wanted and not read
    assert screened(**artifacts(tmp_path / "two", "e")).num_rows == 2 and len(read) == 2
    read.clear()
    for path in (tmp_path / "cache" / "potstill" / "screened").iterdir():
        path.write_bytes(b"damaged")
    assert screened(**made).to_pylist() == wanted and len(read) == 2


def test_where_nothing_can_be_kept_it_is_found_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "cache").write_text("a file where a folder should be")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert screened(**artifacts(tmp_path)).num_rows == 1
    assert "is not remembered" in caplog.text
