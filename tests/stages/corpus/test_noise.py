"""Noise as the corpus writes it: ids and what is held out are those of clean sources; bytes do not hang on shards."""

import hashlib
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from data.artifact import Artifact
from data.errors import DataError
from data.runtime import Runtime
from stages.corpus import stage as corpus
from stages.noise.rows import followed, with_noise
from tests.fixtures.artifacts import closed, new_artifact
from tests.fixtures.corpora import make_corpus, tsv

WORDS = ("select", "device", "which", "connect,", "before", "another", "sensor", "größe", "{name}", "again.")
NOISE: dict[str, Any] = {"upper_case": 0.2, "title_case": 0.1, "typos": 0.2, "dropped_punctuation": 0.2, "seed": 7}
OF_NOISE = ("noise", "student_source", "clean_source", "clean_reference")
few = settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def sentences(count: int) -> list[tuple[str, str]]:
    drawn = random.Random(3)  # noqa: S311
    texts = [" ".join(drawn.choices(WORDS, k=6)) + f" {number}." for number in range(count)]
    return [(text, f"satz {text}") for text in texts]


def id_by_hand(source: str) -> str:
    return hashlib.blake2b(f"en\x1fde\x1f{source}".encode(), digest_size=16).hexdigest()


@pytest.mark.parametrize("read_by", ["student", "teacher"])
def test_ids_splits_and_clean_rows_are_those_without_noise(tmp_path: Path, read_by: str) -> None:
    source = tsv(tmp_path, "a", sentences(400))
    options = {"test_fraction": 0.1, "valid_fraction": 0.1}
    plain = make_corpus(tmp_path, source, **options)
    noisy = make_corpus(tmp_path, source, noise={**NOISE, "read_by": read_by}, **options)
    assert [(row["id"], row["split"], row["location"]) for row in noisy.rows] == [
        (row["id"], row["split"], row["location"]) for row in plain.rows
    ]
    for before, after in zip(plain.rows, noisy.rows, strict=True):
        assert after["id"] == id_by_hand(after["clean_source"] or after["source"])
        if after["noise"] is None:
            assert before == after
            continue
        assert after["split"] == "train"
        written = with_noise(before["source"], after["noise"], "en", before["id"], 7)
        assert written != before["source"]
        if read_by == "student":
            assert after == {**before, "noise": after["noise"], "student_source": written}
        else:
            reference = followed(before["reference"], after["noise"], "de", before["source"], written)
            assert (after["source"], after["reference"]) == (written, reference)
            assert after["clean_source"] == before["source"]
            assert (after["clean_reference"] or after["reference"]) == before["reference"]
            assert after["student_source"] is None
    assert all(row[name] is None for row in plain.rows for name in OF_NOISE)


def test_what_was_drawn_and_what_it_changed_is_counted(tmp_path: Path) -> None:
    rows = [(f"ein haus, nummer {number}", f"a {number}") for number in range(100)]
    rows += [(f"一所房子{number}", f"b {number}") for number in range(100)]
    made = make_corpus(tmp_path, tsv(tmp_path, "a", rows), noise={"upper_case": 0.5, "missing_diacritics": 0.5})
    counts = made.metrics["noise"]
    by_hand = {kind: sum(row["noise"] == kind for row in made.rows) for kind in ("upper_case", "missing_diacritics")}
    assert {kind: one["changed"] for kind, one in counts["kinds"].items()} == by_hand
    assert by_hand["missing_diacritics"] == 0  # nothing has any
    assert 30 < by_hand["upper_case"] < 70  # half of those in Latin letters
    assert sum(one["drawn"] for one in counts["kinds"].values()) == counts["rows"] == 200
    assert counts["changed"] == by_hand["upper_case"]


@few
@given(st.integers(1, 60), st.integers(1, 60))
def test_noise_does_not_hang_on_shards(tmp_path: Path, one: int, other: int) -> None:
    source = tsv(tmp_path, "a", sentences(60))
    made = [make_corpus(tmp_path, source, noise=NOISE, shard_rows=size) for size in (one, other)]
    assert made[0].rows == made[1].rows
    assert {row["noise"] for row in made[0].rows} > {"upper_case", "typos", None}


def test_a_run_that_was_killed_ends_with_the_same_bytes(tmp_path: Path) -> None:
    config = corpus.Config.model_validate(
        {
            "source_language": "en", "target_language": "de", "sources": [tsv(tmp_path, "a", sentences(200))],
            "noise": NOISE, "shard_rows": 50, "test_fraction": 0, "valid_fraction": 0,
        }
    )  # fmt: skip

    def made(name: str) -> Artifact:
        return new_artifact(tmp_path / name, "corpus")

    whole, broken = made("whole"), made("broken")
    corpus.run({}, config, whole, Runtime())
    written, write = [], broken.write_shard

    def dies(name: str, *rest: Any) -> Any:
        if len(written) == 2:
            raise DataError("killed")
        written.append(name)
        return write(name, *rest)

    broken.write_shard = dies  # type: ignore[method-assign]
    with pytest.raises(DataError, match="killed"):
        corpus.run({}, config, broken, Runtime())
    again = made("broken")
    corpus.run({}, config, again, Runtime())
    digests = [[(shard.name, shard.digest) for shard in closed(one).manifest().shards] for one in (whole, again)]
    assert digests[0] == digests[1]
    assert len(digests[0]) == 4


def test_held_out_texts_are_looked_for_in_clean_sources(tmp_path: Path) -> None:
    """Which rows are nearly held out is told by what they were read as, whoever reads noise."""
    rows = [*sentences(200), *[(f"“{source}”", f"{target} neu") for source, target in sentences(200)]]
    options: dict[str, Any] = {"test_fraction": 0.3}
    plain = make_corpus(tmp_path, tsv(tmp_path, "a", rows), **options)
    noisy = make_corpus(tmp_path, tsv(tmp_path, "a", rows), noise={**NOISE, "read_by": "teacher"}, **options)
    assert plain.rejects == noisy.rejects
    assert "nearly_held_out" in plain.reasons()
    assert noisy.metrics["near_held_out"] == plain.metrics["near_held_out"]


def test_other_noise_is_other_content_though_it_changed_no_row(tmp_path: Path) -> None:
    """An evaluation with each kind of noise is to be made anew; who reads rows alone is not."""
    source = tsv(tmp_path, "a", [(f"no marks {number}", f"a {number}") for number in range(20)])
    made = [
        make_corpus(tmp_path, source, noise={"typos": 0.5, **more}).artifact.manifest()
        for more in ({}, {"missing_diacritics": 0.5})
    ]
    assert made[0].content_digest() != made[1].content_digest()
    columns = {"train": ("id", "source", *OF_NOISE)}
    assert made[0].columns_digest(columns) == made[1].columns_digest(columns)
