"""COMET with a package in the place of unbabel-comet, and what is said where package or model is missing."""

import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data.errors import ModelError
from stages.evaluate.comet import Config, identity, score_comet
from stages.evaluate.quality import Scoring

SOURCES, REFERENCES = ["Turn on", "Turn off"], ["Einschalten", "Ausschalten"]
HYPOTHESES = {"teacher": ["Einschalten", "Ausschalten"], "student": ["Einschalten", "Einschalten"]}
SCORING = Scoring("13a", 100, 1)


@dataclass
class Prediction:
    scores: list[float]

    @property
    def system_score(self) -> float:
        return sum(self.scores) / len(self.scores)


class FakeModel:
    """Scores 1 where a translation is its reference, else 0.5; remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []

    def predict(self, samples: Sequence[Mapping[str, str]], **options: Any) -> Prediction:
        self.asked.append(options)
        return Prediction([1.0 if row["mt"] == row["ref"] and row["src"] else 0.5 for row in samples])


@pytest.fixture
def package(monkeypatch: pytest.MonkeyPatch) -> tuple[FakeModel, list[tuple[Any, ...]]]:
    model, loaded = FakeModel(), list[tuple[Any, ...]]()
    module = ModuleType("comet")
    module.__spec__ = ModuleSpec("comet", None)

    def load(path: str, **options: Any) -> FakeModel:
        loaded.append((path, options))
        return model

    module.load_from_checkpoint = load  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "comet", module)
    return model, loaded


def checkpoint(folder: Path) -> Path:
    (folder / "checkpoints").mkdir(parents=True)
    (folder / "hparams.yaml").write_text("class_identifier: regression_metric\n")
    path = folder / "checkpoints" / "model.ckpt"
    path.write_text("weights")
    return path


def score(model: str, device: str = "cpu") -> dict[str, Any]:
    return score_comet(HYPOTHESES, SOURCES, REFERENCES, Config(model=model, batch_size=7), SCORING, device)


@pytest.mark.parametrize("whole_folder", [True, False])
def test_systems_are_scored_from_a_checkpoint_on_disk(package: Any, tmp_path: Path, whole_folder: bool) -> None:
    path = checkpoint(tmp_path / "comet")
    found = score(str(tmp_path / "comet" if whole_folder else path))
    assert found["systems"]["teacher"] == {"comet": 1.0, "comet_interval": [1.0, 1.0]}
    assert found["systems"]["student"]["comet"] == 0.75
    low, high = found["systems"]["student"]["comet_interval"]
    assert (low, high) == (0.5, 1.0)
    assert "bs:100|seed:1" in found["signature"]
    model, loaded = package
    assert loaded == [(str(path), {"local_files_only": True})]
    assert model.asked == [{"batch_size": 7, "gpus": 0, "accelerator": "cpu", "progress_bar": False}] * 2


def test_a_gpu_is_used_where_there_is_one(package: Any, tmp_path: Path) -> None:
    score(str(checkpoint(tmp_path)), device="cuda")
    assert {(options["gpus"], options["accelerator"]) for options in package[0].asked} == {(1, "gpu")}


def test_a_name_is_looked_for_in_the_cache_alone(package: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = tmp_path / "hub"
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(cache))
    missing = score("Unbabel/wmt22-comet-da")
    assert "systems" not in missing
    assert "Unbabel/wmt22-comet-da is not in the Hugging Face cache" in missing["absent"]
    repository = cache / "models--Unbabel--wmt22-comet-da"
    path = checkpoint(repository / "snapshots" / "0123abcd")
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("0123abcd")
    assert score("Unbabel/wmt22-comet-da")["systems"]["teacher"]["comet"] == 1.0
    assert package[1] == [(str(path), {"local_files_only": True})]


def test_what_is_missing_is_said_and_nothing_fails(
    package: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "empty").mkdir()
    assert "model.ckpt is not there" in score(str(tmp_path / "empty"))["absent"]
    path = checkpoint(tmp_path / "bare")
    (tmp_path / "bare" / "hparams.yaml").unlink()
    assert "has no hparams.yaml" in score(str(path))["absent"]
    assert "is no file, no folder and no name of a model" in score("no/such/name/here")["absent"]
    monkeypatch.delitem(sys.modules, "comet")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert "unbabel-comet is not in this environment; docs/evaluation.md" in score(str(path))["absent"]


def test_the_docs_program_scores_what_evaluate_leaves(
    package: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    sys.modules["comet"].download_model = lambda name: name  # type: ignore[attr-defined]
    table = pa.table({"id": ["a", "b"], "source": SOURCES, "reference": REFERENCES, **HYPOTHESES})
    pq.write_table(table, tmp_path / "translations-00000.parquet")
    page = (Path(__file__).parents[3] / "docs" / "evaluation.md").read_text(encoding="utf-8")
    [program] = re.findall(r"```python\n# score_comet\.py\n(.*?)```", page, flags=re.DOTALL)
    monkeypatch.setattr(sys, "argv", ["", str(tmp_path / "translations-00000.parquet"), "teacher", "student"])
    exec(program, {})  # noqa: S102
    assert capsys.readouterr().out == "teacher 1.0\nstudent 0.75\n"


def test_an_evaluation_is_another_when_package_or_model_is(
    package: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = checkpoint(tmp_path)
    config = Config(model=str(path))
    with_both = identity(config)
    assert identity(config) == with_both
    path.write_bytes(path.read_bytes() + b"more")
    assert identity(config) != with_both
    monkeypatch.delitem(sys.modules, "comet")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert identity(config) == {"unbabel-comet": "absent"}


def test_a_model_that_cannot_be_loaded_is_an_error(
    package: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(path: str, **options: Any) -> FakeModel:
        raise RuntimeError("unexpected end of file")

    monkeypatch.setattr(sys.modules["comet"], "load_from_checkpoint", broken)
    with pytest.raises(ModelError, match=r"model\.ckpt: unbabel-comet .* cannot load this model: unexpected end"):
        score(str(checkpoint(tmp_path)))
