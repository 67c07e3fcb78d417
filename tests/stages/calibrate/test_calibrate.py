"""Calibration: the cheapest candidate is found whatever the curve, soon, and the choice stays with the run."""

import json
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from data.artifact import Artifact
from data.errors import ModelError
from data.runtime import Runtime
from stages.beam_search.calibration import Trial, compare, read_calibration
from stages.calibrate import stage as calibrate
from stages.decode import stage as decode
from tests.fixtures.artifacts import artifact_of_folder, artifact_of_tables, closed, new_artifact, words_tokenizer

CANDIDATES = (64, 128, 256, 512, 1024)


class Machine:
    """Tells a cost and lets as much time go by: a row costs `curve(candidate)`, more at the places of long rows."""

    def __init__(self, curve: Callable[[int], float], room: int = 10**6) -> None:
        self.curve, self.room = curve, room
        self.now = 0.0
        self.tried: list[int] = []

    def cost(self, candidate: int, place: float) -> float | None:
        self.tried.append(candidate)
        if candidate > self.room:
            return None
        cost = self.curve(candidate) * (2 - place)
        self.now += cost * candidate
        return cost

    def clock(self) -> float:
        return self.now

    def best(self, seconds: float = 1e9) -> int:
        means = compare(CANDIDATES, self.cost, seconds, self.clock)
        return min(means, key=lambda candidate: means[candidate])


@pytest.mark.parametrize("best", CANDIDATES)
def test_the_cheapest_candidate_is_found(best: int) -> None:
    machine = Machine(lambda candidate: 0.001 * (1 + abs(candidate - best) / best))
    assert machine.best() == best
    # What is far worse than its neighbour is not looked at for long.
    assert machine.tried.count(1024) <= 1 or best > 256


def test_close_candidates_are_compared_at_the_same_places() -> None:
    machine = Machine(lambda candidate: 0.001 if candidate == 256 else 0.00105)
    assert machine.best() == 256
    counts = {candidate: machine.tried.count(candidate) for candidate in CANDIDATES}
    assert len(set(counts.values())) == 1
    assert counts[256] > 4


def test_time_is_bounded_and_one_candidate_is_always_tried() -> None:
    machine = Machine(lambda candidate: 1.0)
    assert machine.best(seconds=0.0) == 64
    assert machine.tried == [64]
    quick = Machine(lambda candidate: 0.001)
    quick.best(seconds=3.0)
    assert quick.now < 3.0 + 0.002 * 1024


def test_a_candidate_that_does_not_fit_into_memory_is_not_chosen() -> None:
    machine = Machine(lambda candidate: 1 / candidate, room=300)
    assert machine.best() == 256
    assert machine.tried.count(512) == 1


def test_only_places_that_all_were_tried_at_count() -> None:
    """Time is up in the middle of the second place, where all is ten times as dear."""
    now, costs = [0.0], iter([2.0, 2.1, 20.0])

    def cost(candidate: int, place: float) -> float:
        now[0] += 1
        return next(costs)

    assert compare((64, 128), cost, 3.0, lambda: now[0]) == {64: 2.0, 128: 2.1}


def test_memory_that_runs_out_later_takes_the_larger_ones_out() -> None:
    tried: list[int] = []

    def cost(candidate: int, place: float) -> float | None:
        tried.append(candidate)
        return None if candidate == 128 and place != 0.5 else 1.0

    assert set(compare((64, 128, 256), cost, 1e9)) == {64}
    assert (tried.count(128), tried.count(256)) == (2, 1)


class Model:
    """A search in whose queue every batch takes its time, whoever waits."""

    def __init__(self, seconds: float) -> None:
        self.now, self._seconds = 0.0, seconds
        self.begun: list[int] = []

    def start(self, sources: list[list[str]]) -> Callable[[], None]:
        self.begun.append(len(sources))

        def wait() -> None:
            self.now += self._seconds

        return wait

    def takes(self, length: int) -> bool:
        return length > 0


@pytest.mark.parametrize(("seconds", "batches"), [(1.0, 2), (0.005, 2 + 50)])
def test_batches_that_end_at_once_are_repeated(seconds: float, batches: int) -> None:
    """Two replicas; a pass of 0.01 seconds is done 25 times over to reach a quarter of a second."""
    model = Model(seconds)
    trial = Trial([["a"] * 8] * 640, model, 2, lambda: model.now)  # type: ignore[arg-type]
    found = trial.cost(64, 0.5)
    assert found == pytest.approx(seconds / 8)  # batches of 64 tokens are 8 rows
    assert model.begun == [8] * batches


@pytest.fixture(scope="module")
def inputs(tiny_teacher: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Artifact]:
    store = tmp_path_factory.mktemp("store")
    rows = pa.table({"id": [f"{number:032x}" for number in range(40)], "source": ["a1 a2 a3"] * 30 + ["a4"] * 9 + [""]})
    return {
        "corpus": artifact_of_tables(store, "corpus", {"train-00000": rows}),
        "teacher": artifact_of_folder(store, "teacher", tiny_teacher),
        "tokenizer": words_tokenizer(store),
    }


def run(folder: Path, inputs: dict[str, Artifact], **options: object) -> tuple[Artifact, dict[str, object]]:
    output = new_artifact(folder, "calibrate")
    config = calibrate.Config.model_validate({"max_decoding_length": 12, **options})
    metrics = calibrate.run(inputs, config, output, Runtime(threads=2))
    return closed(output), metrics


def test_the_choice_is_measured_kept_and_used(inputs: dict[str, Artifact], tmp_path: Path) -> None:
    artifact, metrics = run(tmp_path, inputs)
    chosen = read_calibration(artifact.path()).max_batch_tokens
    # 39 rows of three tokens at most: a batch of 128 tokens holds them all.
    assert set(metrics["rows_per_second"]) <= {"64", "128"}  # type: ignore[call-overload]
    assert (metrics["max_batch_tokens"], metrics["replicas"]) == (chosen, 2)
    config = decode.Config(max_decoding_length=12)
    resources = decode.load(config, {**inputs, "calibrate": artifact}, Runtime())
    result = decode.run(inputs["corpus"].read_shard("train-00000", ["id", "source"]), config, resources)
    assert json.loads(result.schema.metadata[decode.METADATA_KEY])["max_batch_tokens"] == chosen
    # No timing is in what the next stage's fingerprint covers.
    assert json.loads((artifact.path() / "calibration.json").read_text()) == {"max_batch_tokens": chosen}


def test_a_given_size_is_taken_and_nothing_is_loaded(tmp_path: Path) -> None:
    artifact, metrics = run(tmp_path, {}, max_batch_tokens=300)
    assert read_calibration(artifact.path()).max_batch_tokens == 300
    assert metrics == {"max_batch_tokens": 300, "measured": False}


def test_a_corpus_without_rows_gets_the_usual_size(inputs: dict[str, Artifact], tmp_path: Path) -> None:
    empty = artifact_of_tables(tmp_path, "corpus", {})
    artifact, metrics = run(tmp_path, {**inputs, "corpus": empty})
    assert (read_calibration(artifact.path()).max_batch_tokens, metrics["rows_per_second"]) == (512, {})


def test_a_folder_without_a_calibration_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"calibration\.json cannot be read.*run the stage calibrate again"):
        read_calibration(tmp_path)
