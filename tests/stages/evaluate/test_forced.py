"""Teacher-forced figures of tiny random models, against the same weights in OpenNMT-py in float64."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from data.language_tags import Direction
from data.model_folder import Prompt, load_teacher_info, save_teacher_info
from stages.evaluate.forced import Config, ForcedModel, Pair, measure_forcing
from stages.evaluate.quality import Scoring
from stages.loaded_model.model import TargetVocabulary
from stages.loaded_model.translate import load_translator
from stages.text.tokenizer import Tokenizer, load_tokenizer
from tests.fixtures.oracle import continued_log_probs, forced_log_probs
from tests.fixtures.tiny_language_model import LanguageModelShape, write_tiny_language_model
from tests.fixtures.tiny_student import write_tiny_tokenizer
from tests.fixtures.tiny_teacher import TinyShape, write_tiny_teacher

SOURCES = ["a1 a2 a3", "a4", "a5 a6 a7 a8 a9 a10 a11", "a0 a1", "a12 a13 a14 a15"]
TARGETS = ["a3 a2", "a9 a8 a7 a6 a5 a4", "", "a1 zebra a2", "a20"]
SCORING = Scoring("13a", 200, 3)
WORDS = TinyShape().vocabulary()


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    return load_tokenizer(write_tiny_tokenizer(tmp_path_factory.mktemp("tokenizer"), kind="none"))


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("models")
    larger = TinyShape(words=50)
    return {
        "teacher": write_tiny_teacher(root / "teacher", seed=1),
        "student": write_tiny_teacher(root / "student", seed=2),
        "baseline": write_tiny_teacher(root / "baseline", seed=3, shape=larger),
    }


def load(folder: Path, tokenizer: Tokenizer, threads: int = 2) -> ForcedModel:
    vocabulary = TargetVocabulary.read(folder, load_teacher_info(folder).end_token)
    return ForcedModel(load_translator(folder, tokenizer=tokenizer, threads=threads), vocabulary)


@pytest.fixture(scope="module")
def models(folders: dict[str, Path], tokenizer: Tokenizer) -> dict[str, ForcedModel]:
    return {role: load(folder, tokenizer) for role, folder in folders.items()}


def measure(models: dict[str, ForcedModel], **options: Any) -> dict[str, Any]:
    return measure_forcing(models, SOURCES, TARGETS, Config(**options), SCORING, threads=2)


def expected(folder: Path) -> list[npt.NDArray[np.float64]]:
    """[T, V] of each sentence."""
    pairs = zip(SOURCES, TARGETS, strict=True)
    return [forced_log_probs(folder / "checkpoint.pt", source.split(), target.split()) for source, target in pairs]


def ids() -> list[list[int]]:
    """Of each target and its end; -1 for what no model knows."""
    return [[WORDS.index(word) if word in WORDS else -1 for word in (*line.split(), "</s>")] for line in TARGETS]


@pytest.mark.parametrize("role", ["teacher", "student"])
def test_accuracy_and_cross_entropy_are_those_of_every_forced_token(
    models: dict[str, ForcedModel], folders: dict[str, Path], role: str
) -> None:
    found = measure(models)["systems"][role]
    log_probs, forced = expected(folders[role]), ids()
    right = [int(row[token].argmax() == own) for row, own_ids in zip(log_probs, forced, strict=True)
             for token, own in enumerate(own_ids)]  # fmt: skip
    nats = [-row[token][max(own, 0)] for row, own_ids in zip(log_probs, forced, strict=True)
            for token, own in enumerate(own_ids)]  # fmt: skip
    assert found["positions"] == len(right) == sum(len(line.split()) + 1 for line in TARGETS)
    assert found["right"] == sum(right)
    assert found["accuracy"] == pytest.approx(100 * sum(right) / len(right))
    assert found["cross_entropy"] == pytest.approx(sum(nats) / len(nats), abs=1e-4)
    assert found["unknown"] == 1
    low, high = found["cross_entropy_interval"]
    assert low < found["cross_entropy"] < high


def test_divergence_and_agreement_are_over_the_whole_vocabulary(
    models: dict[str, ForcedModel], folders: dict[str, Path]
) -> None:
    found = measure(models)["against_teacher"]["student"]
    pairs = list(zip(expected(folders["teacher"]), expected(folders["student"]), strict=True))
    kl = np.concatenate([(np.exp(one) * (one - other)).sum(axis=1) for one, other in pairs])
    agreed = np.concatenate([one.argmax(axis=1) == other.argmax(axis=1) for one, other in pairs])
    assert found["positions"] == len(kl)
    assert found["kl"] == pytest.approx(kl.mean(), abs=1e-4)
    assert found["agreed"] == agreed.sum()
    assert found["agreement"] == pytest.approx(100 * agreed.mean())
    low, high = found["kl_interval"]
    assert 0 < low < found["kl"] < high


def test_a_larger_vocabulary_is_compared_where_the_teachers_lies_in_it(
    models: dict[str, ForcedModel], folders: dict[str, Path]
) -> None:
    """What the system gives to tokens that the teacher does not know is missing where the teacher's are."""
    found = measure(models)["against_teacher"]["baseline"]
    pairs = zip(expected(folders["teacher"]), expected(folders["baseline"]), strict=True)
    kl = np.concatenate([(np.exp(one) * (one - other[:, : len(WORDS)])).sum(axis=1) for one, other in pairs])
    assert found["kl"] == pytest.approx(kl.mean(), abs=1e-4)


def test_where_tokens_or_positions_differ_the_reason_is_given(models: dict[str, ForcedModel], tmp_path: Path) -> None:
    turned = {"teacher": models["baseline"], "student": models["student"]}
    assert measure(turned)["against_teacher"]["student"] == {"reason": "its vocabulary lacks tokens of the teacher's"}
    folder = write_tiny_tokenizer(tmp_path / "other", kind="none")
    (folder / "tokenizer.json").write_text(json.dumps({"kind": "none", "digest": "another"}))
    other = load_tokenizer(folder)
    student = load(write_tiny_teacher(tmp_path / "student", seed=2), other)
    found = measure({"teacher": models["teacher"], "student": student})
    assert found["against_teacher"]["student"]["reason"].startswith("its tokenizer is not the teacher's")
    assert found["systems"]["student"]["positions"] > 0


def test_the_teacher_is_nothing_away_from_itself(models: dict[str, ForcedModel]) -> None:
    found = measure({"teacher": models["teacher"], "student": models["teacher"]})["against_teacher"]["student"]
    assert found["kl"] == pytest.approx(0, abs=1e-12)
    assert found["agreement"] == 100


def test_batches_change_nothing(models: dict[str, ForcedModel], monkeypatch: pytest.MonkeyPatch) -> None:
    whole = measure(models)
    monkeypatch.setattr("stages.evaluate.forced._BATCH_TOKENS", 4)
    for role, found in measure(models)["systems"].items():
        assert found["cross_entropy"] == pytest.approx(whole["systems"][role]["cross_entropy"], abs=1e-5)
        assert found["right"] == whole["systems"][role]["right"]


def test_long_sentences_are_left_out_and_counted(models: dict[str, ForcedModel]) -> None:
    found = measure(models, longest=6)
    # Seven words of the third source, and the second target, which has an end beside its six words.
    assert (found["sentences"], found["left_out"]) == (3, 2)
    assert found["systems"]["student"]["positions"] == 3 + 4 + 2


def test_a_target_prefix_is_forced_and_not_counted(
    folders: dict[str, Path], tokenizer: Tokenizer, tmp_path: Path
) -> None:
    folder = shutil.copytree(folders["student"], tmp_path / "tagged")
    info = load_teacher_info(folder).model_copy(update={"target_prefix": ("a30",), "source_prefix": ("a31",)})
    save_teacher_info(folder, info)
    found = measure_forcing(
        {"student": load(folder, tokenizer)}, SOURCES[:1], TARGETS[:1], Config(), SCORING, threads=1
    )["systems"]["student"]
    log_probs = forced_log_probs(folder / "checkpoint.pt", ["a31", *SOURCES[0].split()], ["a3", "a2"], prefix=["a30"])
    forced = [WORDS.index(word) for word in ("a3", "a2", "</s>")]
    assert found["positions"] == 3
    assert found["cross_entropy"] == pytest.approx(-log_probs[range(3), forced].mean(), abs=1e-4)


def test_a_language_model_is_forced_behind_its_prompt(tokenizer: Tokenizer, tmp_path: Path) -> None:
    folder = write_tiny_language_model(tmp_path / "model")
    prompt = Prompt(before="a1 a2 ", after=" a3")
    save_teacher_info(folder, load_teacher_info(folder).model_copy(update={"prompt": prompt}))
    found = measure({"teacher": load(folder, tokenizer)}, longest=6)["systems"]["teacher"]
    words, nats, right = LanguageModelShape().vocabulary(), [], 0
    for source, target in [(SOURCES[row], TARGETS[row].split()) for row in (0, 3, 4)]:
        rows = continued_log_probs(
            folder / "checkpoint.pt", ["<s>", "a1", "a2", *source.split(), "a3", "<sep>"], target
        )
        forced = [words.index(word) if word in words else -1 for word in (*target, "</s>")]
        nats += [-row[max(token, 0)] for row, token in zip(rows, forced, strict=True)]
        right += sum(row.argmax() == token for row, token in zip(rows, forced, strict=True))
    assert found["positions"] == len(nats)
    assert found["right"] == right
    assert found["cross_entropy"] == pytest.approx(sum(nats) / len(nats), abs=1e-4)


def test_language_tags_are_those_of_each_sentence(
    folders: dict[str, Path], tokenizer: Tokenizer, tmp_path: Path
) -> None:
    folder = shutil.copytree(folders["student"], tmp_path / "tagged")
    names = {"en": "a33", "de": "a34", "fr": "a35"}
    tags = {"source_prefix": ("{target}",), "target_prefix": ("{source}",), "language_names": names}
    save_teacher_info(folder, load_teacher_info(folder).model_copy(update=tags))
    directions = [Direction("en", "de" if row % 2 else "fr") for row in range(len(SOURCES))]
    models = {"student": load(folder, tokenizer)}
    found = measure_forcing(models, SOURCES, TARGETS, Config(), SCORING, threads=1, directions=directions)
    nats = []
    for source, target, direction in zip(SOURCES, TARGETS, directions, strict=True):
        asked = [names[direction.target], *source.split()]
        rows = forced_log_probs(folder / "checkpoint.pt", asked, target.split(), prefix=[names["en"]])
        forced = [WORDS.index(word) if word in WORDS else 0 for word in (*target.split(), "</s>")]
        nats += [-row[token] for row, token in zip(rows, forced, strict=True)]
    assert found["systems"]["student"]["positions"] == len(nats)
    assert found["systems"]["student"]["cross_entropy"] == pytest.approx(sum(nats) / len(nats), abs=1e-4)


class SaysUnknown(ForcedModel):
    """Finds <unk> most probable at every position."""

    def log_probs(self, pairs: Sequence[Pair]) -> npt.NDArray[np.float64]:
        found = np.full((sum(len(pair.target) + 1 for pair in pairs), len(WORDS)), -9.0)
        found[:, WORDS.index("<unk>")] = 0.0
        return found


def test_nobody_gets_a_token_right_that_the_vocabulary_lacks(models: dict[str, ForcedModel]) -> None:
    student = models["student"]
    found = measure({"student": SaysUnknown(student.translator, student.vocabulary)})["systems"]["student"]
    assert (found["unknown"], found["right"]) == (1, 0)
