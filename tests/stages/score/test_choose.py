"""What computes soft targets is what is found to be quickest here; the choice stays with the run."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from data.artifact import Artifact
from data.errors import ModelError
from data.model_folder import load_teacher_info, save_teacher_info
from data.runtime import Runtime
from data.soft_targets import SoftTargetFormat
from stages.score import choose
from stages.score import stage as score
from stages.score.backend import CTRANSLATE2, PLACES, Asked, Way, best, compare, read_way, ways_for, write_way
from tests.fixtures.artifacts import artifact_of_folder, artifact_of_tables, closed, new_artifact, words_tokenizer
from tests.stages.score.test_score import rows, table

EXACT, ROUNDED = Way(backend="torch", precision="float32"), Way(backend="torch", precision="bfloat16")
WAYS = [EXACT, ROUNDED, CTRANSLATE2]


class Machine:
    """Takes so many seconds a row by each way, more where rows are long, and lets as much time go by."""

    def __init__(self, seconds: Mapping[Way, float]) -> None:
        self.seconds, self.now = seconds, 0.0
        self.tried: list[tuple[Way, float]] = []

    def cost(self, way: Way, place: float) -> float:
        self.tried.append((way, place))
        self.now += self.seconds[way] * (1 + place)
        return self.seconds[way] * (1 + place)

    def chosen(self, seconds: float = 1e9) -> Way:
        return best(WAYS, compare(WAYS, self.cost, seconds, lambda: self.now))


@pytest.mark.parametrize("quick", WAYS, ids=str)
def test_the_quickest_way_is_found_at_every_place(quick: Way) -> None:
    machine = Machine({way: 1.0 if way == quick else 1.2 for way in WAYS})
    assert machine.chosen() == quick
    assert machine.tried == [(way, place) for place in PLACES for way in WAYS]


def test_of_ways_that_are_as_quick_the_most_exact_is_taken() -> None:
    assert Machine({EXACT: 1.09, ROUNDED: 1.0, CTRANSLATE2: 1.05}).chosen() == EXACT
    assert Machine({EXACT: 1.11, ROUNDED: 1.09, CTRANSLATE2: 1.0}).chosen() == ROUNDED
    assert best(WAYS, {}) == EXACT, "nothing was measured"


def test_what_is_far_slower_is_tried_once_and_one_that_is_left_alone_no_more() -> None:
    machine = Machine({EXACT: 1.6, ROUNDED: 1.0, CTRANSLATE2: 1.2})
    assert machine.chosen() == ROUNDED
    assert [way for way, _ in machine.tried].count(EXACT) == 1
    assert [way for way, _ in machine.tried].count(CTRANSLATE2) == len(PLACES)
    alone = Machine({EXACT: 9.0, ROUNDED: 1.0, CTRANSLATE2: 2.0})
    assert (alone.chosen(), len(alone.tried)) == (ROUNDED, 3)


def test_time_is_bounded_and_every_way_is_tried() -> None:
    slow = Machine(dict.fromkeys(WAYS, 100.0))
    slow.chosen(seconds=6.0)
    assert slow.tried == [(way, PLACES[0]) for way in WAYS]


@pytest.mark.parametrize(
    ("asked", "hardware", "expected"),
    [
        (Asked("auto", "auto"), False, [EXACT, CTRANSLATE2]),
        (Asked("auto", "auto"), True, [EXACT, ROUNDED, CTRANSLATE2]),
        (Asked("auto", "float32"), True, [EXACT]),
        (Asked("torch", "auto"), False, [EXACT]),
        (Asked("torch", "auto"), True, [ROUNDED]),
        (Asked("ctranslate2", "auto"), True, [CTRANSLATE2]),
    ],
)
def test_what_the_recipe_leaves_open_is_to_be_tried(
    tiny_teacher: Path, monkeypatch: pytest.MonkeyPatch, asked: Asked, hardware: bool, expected: list[Way]
) -> None:
    monkeypatch.setattr("torch.cpu.get_capabilities", lambda: {"avx512_bf16": hardware})
    assert ways_for(asked, tiny_teacher, load_teacher_info(tiny_teacher), "cpu") == expected


def test_where_there_is_but_one_way_nothing_is_to_be_tried(
    tiny_teacher: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.is_bf16_supported", lambda including_emulation: True)
    info = load_teacher_info(tiny_teacher)
    assert ways_for(Asked("auto", "auto"), tiny_teacher, info, "cuda") == [ROUNDED]
    language_model = info.model_copy(update={"architecture": "decoder-only"})
    assert ways_for(Asked("auto", "auto"), tiny_teacher, language_model, "cpu") == [CTRANSLATE2]
    assert ways_for(Asked("auto", "float32"), tmp_path, info, "cpu") == [CTRANSLATE2], "it has no checkpoint"


@pytest.fixture(scope="module")
def inputs(tiny_teacher: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Artifact]:
    store = tmp_path_factory.mktemp("store")
    folder = shutil.copytree(tiny_teacher, store / "int8")
    save_teacher_info(folder, load_teacher_info(folder).model_copy(update={"quantization": "int8"}))
    sources, targets = rows()
    data = table(sources * 8, targets * 8)
    for name in ("source_language", "target_language"):
        data = data.append_column(name, [["en"] * data.num_rows])
    return {
        "corpus": artifact_of_tables(store, "corpus", {"train-00000": data.drop_columns(["target_tokens", "metric"])}),
        "select": artifact_of_tables(
            store, "select", {"train-00000": data.select(["id", "target_tokens", "metric"])}
        ),
        "teacher": artifact_of_folder(store, "teacher", folder),
        "tokenizer": words_tokenizer(store),
    }  # fmt: skip


def run(folder: Path, inputs: dict[str, Artifact], **options: object) -> tuple[Artifact, dict[str, Any]]:
    output = new_artifact(folder, "scorer")
    metrics = choose.run(inputs, score.Config.model_validate({"k": 5, **options}), output, Runtime(threads=2))
    return closed(output), metrics


def test_a_real_teacher_is_tried_and_the_choice_is_kept_and_used(inputs: dict[str, Artifact], tmp_path: Path) -> None:
    artifact, metrics = run(tmp_path, inputs)
    chosen = read_way(artifact.path())
    assert metrics["measured"]
    assert metrics["scorer"] == str(chosen) in metrics["rows_per_second"]
    assert all(rate > 0 for rate in metrics["rows_per_second"].values())
    # No timing is in what score's fingerprint covers.
    assert set(json.loads((artifact.path() / "scorer.json").read_text())) == {"backend", "precision"}
    assert [file.name for file in artifact.manifest().files] == ["scorer.json"]


@pytest.mark.parametrize("way", WAYS, ids=str)
def test_every_worker_follows_the_choice_whatever_its_machine(
    inputs: dict[str, Artifact], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: Way
) -> None:
    artifact = new_artifact(tmp_path, "scorer")
    write_way(artifact.work_path(), way)
    monkeypatch.setattr("torch.cpu.get_capabilities", lambda: {"avx512_bf16": way != ROUNDED})
    config = score.Config(k=5)
    resources = score.load(config, {**inputs, "scorer": closed(artifact)}, Runtime())
    told = SoftTargetFormat.of(score.run(table(*rows()), config, resources).schema)
    assert (told.backend, told.compute_type) == (way.backend, way.precision or "int8_float32")


def test_a_way_that_is_given_is_taken_and_nothing_is_measured(
    inputs: dict[str, Artifact], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(choose, "measured", lambda *given: pytest.fail("it was measured"))
    for number, (options, way) in enumerate(
        [({"backend": "ctranslate2"}, CTRANSLATE2), ({"precision": "float32"}, EXACT)]
    ):
        artifact, metrics = run(tmp_path / str(number), inputs, **options)
        assert read_way(artifact.path()) == way
        assert metrics == {"scorer": str(way), "measured": False, "rows_per_second": {}}


def test_without_rows_the_most_exact_is_taken(inputs: dict[str, Artifact], tmp_path: Path) -> None:
    empty = {role: artifact_of_tables(tmp_path, role, {}) for role in ("corpus", "select")}
    artifact, metrics = run(tmp_path, {**inputs, **empty})
    assert (read_way(artifact.path()), metrics["measured"]) == (EXACT, False)


def test_time_of_the_processor_counts_over_a_batch_of_rows_of_like_length(
    inputs: dict[str, Artifact], monkeypatch: pytest.MonkeyPatch
) -> None:
    now, batches = [0.0], list[list[int]]()

    class Resources:
        batch_tokens = 24

    def made_up(part: Any, config: object, resources: object) -> None:
        lengths = [len(target) for target in part["target_tokens"].to_pylist()]
        batches.append(lengths)
        now[0] += sum(length + 1 for length in lengths)

    monkeypatch.setattr(score, "run", made_up)
    monkeypatch.setattr("stages.score.choose.time.process_time", lambda: now[0])
    any_two: Any = {EXACT: Resources(), CTRANSLATE2: Resources()}
    costs = choose.measured(table(*rows()), score.Config(), any_two)
    # Targets have 4, 1, 0, 8, 3, 2, 11 tokens: around the one of 3 there are six of four positions in a batch.
    assert sorted(batches[2]) == [0, 1, 2, 3, 4, 8]
    assert batches[2] == batches[3]
    assert costs[EXACT] == costs[CTRANSLATE2]
    first = sum(length + 1 for length in batches[2]) / 6
    assert first == 4.0
    places = batches[2::2]
    assert costs[EXACT] == pytest.approx(sum(sum(n + 1 for n in one) / len(one) for one in places) / len(places))


def test_a_score_without_a_choice_is_told_what_is_missing(inputs: dict[str, Artifact], tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"score\.backend is auto, and nothing was chosen of torch float32, .*scorer"):
        score.load(score.Config(k=5), inputs, Runtime())
    with pytest.raises(ModelError, match=r"scorer\.json cannot be read.*run the stage scorer again"):
        read_way(tmp_path)
