"""Scores with noise, of systems whose translations are known by hand; sacrebleu is the oracle."""

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pytest
from sacrebleu.metrics import BLEU, CHRF

from data.artifact import Artifact
from stages.evaluate.noise import Config, look_at_noise
from stages.evaluate.quality import Scoring
from stages.evaluate.systems import Sentences
from stages.noise.config import Config as CorpusNoise
from stages.noise.rows import drawn_kind, followed, with_noise
from tests.fixtures.artifacts import closed, new_artifact

SOURCES = [f"please turn the light {number} on in your kitchen, {{name}}." for number in range(40)] + ["12 34", "灯光"]
SHARES = {"upper_case": 0.02, "typos": 0.05, "missing_diacritics": 0.01}


@dataclass
class Spelling:
    """Translates by spelling backwards; remembers what it was asked."""

    asked: list[str] = field(default_factory=list)

    def translate(self, sentences: Sentences, batch_tokens: int) -> tuple[list[str], int]:
        assert len(sentences.directions) == len(sentences.lines)
        self.asked += sentences.lines
        return [line[::-1] for line in sentences.lines], 0


def rows() -> pa.Table:
    columns = {
        "id": [hashlib.md5(source.encode()).hexdigest() for source in SOURCES],  # noqa: S324
        "source": SOURCES,
        "reference": [f"{source} Bitte sehr." for source in SOURCES],
        "source_language": ["en"] * len(SOURCES),
        "target_language": ["de"] * len(SOURCES),
    }
    return pa.table(columns)


def looked(folder: Path, noise: dict[str, Any] | None, **options: Any) -> tuple[dict[str, Any], Artifact, Spelling]:
    corpus = new_artifact(folder, "corpus")
    config = {"noise": {"read_by": "student", "seed": 1, **noise}} if noise else {}
    corpus.complete(stage="corpus", version="1", config=config, inputs={}, libraries={}, metrics={})
    output, system = new_artifact(folder, "evaluate"), Spelling()
    given: Any = {"student": system}
    asked = SimpleNamespace(noise=Config.model_validate(options), batch_tokens=100)
    translated = {"student": [f"clean {line}" for line in SOURCES]}
    found = look_at_noise(corpus, rows(), translated, given, asked, Scoring(samples=100), output)
    return found, closed(output), system


def test_each_kind_is_scored_on_the_sentences_that_it_changes_beside_the_same_without(tmp_path: Path) -> None:
    found, output, system = looked(tmp_path, SHARES, seed=9)
    sets = {one["kind"]: one for one in found["noise"]["sets"]}
    assert list(sets) == ["upper_case", "typos", "missing_diacritics", "all"]
    assert sets["missing_diacritics"]["sentences"] == 0
    assert sets["missing_diacritics"]["systems"] == {}
    table, asked = rows(), list[str]()
    for kind in ("upper_case", "typos"):
        lines, references, clean, plain = [], [], [], []
        for place in sorted(range(len(SOURCES)), key=table["id"].to_pylist().__getitem__):
            source, reference = SOURCES[place], table["reference"][place].as_py()
            noisy = with_noise(source, kind, "en", table["id"][place].as_py(), 9)  # type: ignore[arg-type]
            if noisy != source:
                lines.append(noisy[::-1])
                references.append(followed(reference, kind, "de", source, noisy))
                clean.append(f"clean {source}")
                plain.append(reference)
        asked += [line[::-1] for line in lines]
        scored = sets[kind]["systems"]["student"]
        assert sets[kind]["sentences"] == len(lines) == 40
        for key, metric in (("chrf", CHRF()), ("bleu", BLEU())):
            assert scored["noised"][key] == pytest.approx(metric.corpus_score(lines, [references]).score)
            assert scored["clean"][key] == pytest.approx(metric.corpus_score(clean, [plain]).score)
    assert system.asked == asked
    assert references == plain
    shard = output.read_shard("noised-00000")
    assert shard["student"].to_pylist() == [line[::-1] for line in asked]
    assert shard["source"].to_pylist() == asked
    assert shard["kind"].to_pylist() == ["upper_case"] * 40 + ["typos"] * 40


def test_all_kinds_together_have_one_a_sentence_in_the_shares_of_training(tmp_path: Path) -> None:
    found, _, _ = looked(tmp_path, SHARES, seed=9)
    whole = CorpusNoise(upper_case=0.25, typos=0.625, missing_diacritics=0.125, seed=9)
    table, lines, references = rows(), [], []
    for row in table.to_pylist():
        kind = drawn_kind(row["id"], whole)
        assert kind is not None
        noisy = with_noise(row["source"], kind, "en", row["id"], 9)
        changed = noisy != row["source"]
        lines.append(noisy[::-1] if changed else f"clean {row['source']}")
        references.append(followed(row["reference"], kind, "de", row["source"], noisy))
    last = found["noise"]["sets"][-1]
    assert (last["kind"], last["sentences"]) == ("all", len(SOURCES))
    assert last["systems"]["student"]["noised"]["chrf"] == pytest.approx(CHRF().corpus_score(lines, [references]).score)


def test_so_many_sentences_at_most_are_asked_for(tmp_path: Path) -> None:
    found, _, system = looked(tmp_path, {"upper_case": 0.1}, sentences=7)
    assert found["noise"]["asked"] == 7
    assert len(system.asked) <= 7
    assert looked(tmp_path / "none", {"upper_case": 0.1}, sentences=0)[0] == {}
    assert looked(tmp_path / "clean", None)[0] == {}
