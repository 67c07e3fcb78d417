"""Whole trainings of a tiny model: what they leave, that they learn, and that a kill changes nothing."""

import argparse
import json
import math
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import torch

from data.errors import DataError, ModelError, PotstillError
from stages.training import checkpoint
from stages.training.api import Extras
from stages.training.config import OptimiserConfig
from stages.training.schedules import Schedule
from tests.stages.training.toy import MODEL, OPTIMISER, WORDS, pairs, stream, train, training_data


class StopError(Exception):
    """Stands for a kill."""


def stop_at(step: int) -> Any:
    def progress(done: int, total: int | None, extras: Mapping[str, float]) -> None:
        if done == step:
            raise StopError

    return progress


def lines(folder: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (folder / "training.jsonl").read_text().splitlines()]


def assert_same_model(one: Path, other: Path) -> None:
    first, second = (checkpoint.load(folder / "checkpoint.pt") for folder in (one, other))
    for part in ("model", "generator"):
        assert first[part].keys() == second[part].keys()
        for name, value in first[part].items():
            torch.testing.assert_close(second[part][name], value, rtol=0, atol=0, msg=name)


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("unbroken")
    train(folder)
    return folder


@pytest.mark.parametrize("step", [4, 8])
def test_a_stopped_training_ends_with_the_same_weights_and_curves(unbroken: Path, tmp_path: Path, step: int) -> None:
    # At step 4 nothing is saved yet, at step 8 the state of step 4 is.
    with pytest.raises(StopError):
        train(tmp_path, progress=stop_at(step))
    assert (tmp_path / ".state.pt").exists() == (step > 4)
    metrics = train(tmp_path)
    assert_same_model(unbroken, tmp_path)
    assert lines(tmp_path) == lines(unbroken)
    assert metrics["steps"] == 12


def test_a_run_stopped_at_its_very_end_says_all_that_an_unbroken_one_says(
    unbroken: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*arguments: object) -> None:
        raise StopError

    with monkeypatch.context() as patched:
        patched.setattr("stages.training.checkpoint.save_model", stop)
        with pytest.raises(StopError):
            train(tmp_path)
    told = train(tmp_path)
    whole = json.loads((unbroken / ".metrics.json").read_text())
    assert told | {"timing": None} == whole | {"timing": None}
    assert lines(tmp_path) == lines(unbroken)


def test_lines_that_a_kill_cut_in_two_are_those_of_an_unbroken_run(tmp_path: Path) -> None:
    # Lines at 5, 10 and 12, the state of step 8: three steps are in no line yet.
    optimiser = OPTIMISER.model_copy(update={"report_every": 5, "checkpoint_every": 8})
    whole = train(tmp_path / "whole", optimiser=optimiser)
    with pytest.raises(StopError):
        train(tmp_path / "broken", optimiser=optimiser, progress=stop_at(10))
    broken = train(tmp_path / "broken", optimiser=optimiser)
    assert lines(tmp_path / "broken") == lines(tmp_path / "whole")
    assert list((broken | {"timing": None}).items()) == list((whole | {"timing": None}).items())


def test_a_training_goes_on_in_the_precision_that_it_began_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    optimiser, halved = OPTIMISER.model_copy(update={"precision": "auto"}), []

    def started(folder: Path, *, able: bool, **changes: Any) -> dict[str, Any]:
        monkeypatch.setattr("torch.cpu.get_capabilities", lambda: {"avx512_bf16": able})
        extras = Extras(online=lambda network, device, bfloat16: halved.append(bfloat16))
        return train(folder, extras=extras, **({"optimiser": optimiser} | changes))

    started(tmp_path / "whole", able=True)
    with pytest.raises(StopError):
        started(tmp_path / "broken", able=True, progress=stop_at(8))
    with pytest.raises(ModelError, match=r"state\.pt is of a training in bfloat16 and cannot go on in float32: set"):
        started(tmp_path / "broken", able=False, optimiser=OPTIMISER)
    assert not caplog.records
    assert started(tmp_path / "broken", able=False)["precision"] == "bfloat16"
    assert_same_model(tmp_path / "whole", tmp_path / "broken")
    assert halved == [True] * 4
    assert "goes on in bfloat16, as it began; on this machine it would have begun in float32" in caplog.text


def test_streams_share_the_rows_that_are_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    held: list[int] = []
    concatenate = pa.concat_tables

    def spying(tables: list[pa.Table]) -> pa.Table:
        whole = concatenate(tables)
        held.append(whole.num_rows)
        return whole

    monkeypatch.setattr("stages.training.batches.batches.pa.concat_tables", spying)
    small = OPTIMISER.model_copy(update={"batch_tokens": 16, "shuffle_rows": 200})
    train(tmp_path, data=training_data(streams=[stream("one"), stream("two")], valid=[]), optimiser=small)
    # Of a batch that is not full at most some rows wait.
    assert 100 <= max(held) < 100 + 16


def test_accumulated_batches_resume_too(tmp_path: Path) -> None:
    optimiser = OPTIMISER.model_copy(update={"accumulate": 3, "average_decay": 0.0})
    train(tmp_path / "whole", optimiser=optimiser)
    with pytest.raises(StopError):
        train(tmp_path / "broken", optimiser=optimiser, progress=stop_at(8))
    train(tmp_path / "broken", optimiser=optimiser)
    assert_same_model(tmp_path / "whole", tmp_path / "broken")


def test_a_mixture_in_phases_goes_on_where_it_stood(tmp_path: Path) -> None:
    from stages.training.objective.config import plain_cross_entropy
    from stages.training.objective.phases import Phase

    data = training_data(streams=[stream("one"), stream("two", pairs(30, 9))])
    shares = Schedule(start=1.0, end=0.2, until=10)
    phases = [
        Phase(0, plain_cross_entropy(), {"one": 1.0}),
        Phase(3, plain_cross_entropy(), {"one": 0.5, "two": shares}),
    ]
    optimiser = OPTIMISER.model_copy(update={"accumulate": 2})
    whole = train(tmp_path / "whole", data=data, phases=phases, optimiser=optimiser)
    for step in (4, 8):
        with pytest.raises(StopError):
            train(tmp_path / "broken", data=data, phases=phases, optimiser=optimiser, progress=stop_at(step))
    broken = train(tmp_path / "broken", data=data, phases=phases, optimiser=optimiser)
    assert_same_model(tmp_path / "whole", tmp_path / "broken")
    assert whole["tokens"] == broken["tokens"]


@pytest.mark.slow
def test_a_killed_training_ends_with_the_same_weights(unbroken: Path, tmp_path: Path) -> None:
    code = (
        "import os, signal, sys; from pathlib import Path; from tests.stages.training.toy import train\n"
        "kill = lambda done, total, extras: done == 8 and os.kill(os.getpid(), signal.SIGKILL)\n"
        "train(Path(sys.argv[1]), progress=kill)"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path.cwd())}
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], env=environment, check=False)
    assert done.returncode == -signal.SIGKILL
    train(tmp_path)
    assert_same_model(unbroken, tmp_path)


def test_a_finished_training_is_not_repeated(unbroken: Path) -> None:
    before = (unbroken / "checkpoint.pt").stat().st_mtime_ns
    metrics = train(unbroken, progress=stop_at(4))
    assert metrics["steps"] == 12
    assert (unbroken / "checkpoint.pt").stat().st_mtime_ns == before


def test_metrics_count_what_was_trained(unbroken: Path) -> None:
    metrics = train(unbroken)
    network = checkpoint.load_model(unbroken / "checkpoint.pt", "cpu")
    assert metrics["parameters"] == network.parameters() == sum(p.numel() for p in network.module.parameters())
    assert (metrics["rows"], metrics["skipped_rows"]) == (110, 0)
    assert metrics["tokens"] == lines(unbroken)[-1]["tokens"]
    assert metrics["precision"] == "float32"
    assert metrics["valid_cross_entropy"] == pytest.approx(lines(unbroken)[-1]["valid_cross_entropy"], rel=1e-5)


def test_curves_have_a_line_a_report_and_a_validation(unbroken: Path) -> None:
    steps = [(line["step"], "loss" in line, "valid_cross_entropy" in line) for line in lines(unbroken)]
    assert steps == [
        (4, True, False),
        (6, False, True),
        (8, True, False),
        (12, True, False),
        (12, False, True),
    ]
    assert all(line["perplexity"] == pytest.approx(math.exp(line["cross_entropy"]), rel=1e-3)
               for line in lines(unbroken) if "perplexity" in line)  # fmt: skip


def test_it_learns_its_rows(tmp_path: Path) -> None:
    optimiser = OptimiserConfig(
        steps=150,
        batch_tokens=200,
        learning_rate=0.05,
        schedule="rsqrt",
        warmup_steps=60,
        label_smoothing=0.0,
        precision="float32",
        validate_every=0,
    )
    model = MODEL.model_copy(update={"width": 32, "dropout": 0.0, "attention_dropout": 0.0})
    metrics = train(tmp_path, model=model, optimiser=optimiser)
    # Whoever knows the words but not the rows pays log 12 a word.
    assert metrics["cross_entropy"] < 0.4 * math.log(len(WORDS))
    assert metrics["loss"] == pytest.approx(metrics["cross_entropy"], rel=1e-3)


@pytest.mark.parametrize("validate_every", [0, 6])
def test_validation_is_cross_entropy_of_the_saved_weights(tmp_path: Path, validate_every: int) -> None:
    metrics = train(tmp_path, optimiser=OPTIMISER.model_copy(update={"validate_every": validate_every}))
    network = checkpoint.load_model(tmp_path / "checkpoint.pt", "cpu")
    index = {token: number for number, token in enumerate(network.target_vocabulary.tokens)}
    total, tokens = 0.0, 0
    for row in training_data().valid[0].shards[0]().to_pylist():
        source = torch.tensor([[[index[word]] for word in row["source"].split()]])
        target = [index[word] for word in ["<s>", *row["reference"].split(), "</s>"]]
        with torch.no_grad():
            hidden, _ = network.module(source, torch.tensor(target)[None, :, None], torch.tensor([source.shape[1]]))
            logits = network.module.generator(hidden[0]).double()
        total += float(torch.nn.functional.cross_entropy(logits, torch.tensor(target[1:]), reduction="sum"))
        tokens += len(target) - 1
    assert metrics["valid_cross_entropy"] == pytest.approx(total / tokens, rel=1e-5)


def test_a_valid_set_without_a_usable_row_leaves_no_figures(tmp_path: Path) -> None:
    unusable = pa.table({"source": ["a1", "a2", ""], "reference": [None, "", "a1"]})
    metrics = train(tmp_path, data=training_data(valid=[stream("valid", unusable)]))
    assert not [name for name in metrics if name.startswith("valid")]
    assert [line["step"] for line in lines(tmp_path)] == [4, 8, 12]


def test_ctranslate2_converts_the_checkpoint_and_computes_the_same(unbroken: Path, tmp_path: Path) -> None:
    import ctranslate2
    from ctranslate2.converters import OpenNMTPyConverter

    with torch.serialization.safe_globals([argparse.Namespace]):
        OpenNMTPyConverter(str(unbroken / "checkpoint.pt")).convert(str(tmp_path / "model"))
    network = checkpoint.load_model(unbroken / "checkpoint.pt", "cpu")
    tokens = network.target_vocabulary.tokens
    words, forced = ["a3", "a1", "a7"], ["a7", "a1"]
    source = torch.tensor([[[tokens.index(word)] for word in words]])
    target = torch.tensor([[[tokens.index(word)] for word in ["<s>", *forced, "</s>"]]])
    with torch.no_grad():
        hidden, _ = network.module(source, target, torch.tensor([3]))
        log_probs = torch.log_softmax(network.module.generator(hidden[0]), 1)
    expected = [float(log_probs[place, token]) for place, token in enumerate(target[0, 1:, 0])]

    (scored,) = ctranslate2.Translator(str(tmp_path / "model")).score_batch([words], [forced])
    assert scored.log_probs == pytest.approx(expected, abs=1e-4)


def test_tied_weights_are_kept_once(unbroken: Path) -> None:
    assert (unbroken / "checkpoint.pt").stat().st_size < 4 * train(unbroken)["parameters"] + 2 * 5000 * 16 * 4 + 50_000


def test_nothing_to_train_on_is_an_error_that_says_why(tmp_path: Path) -> None:
    table = pa.table({"source": ["a1 " * 300, "a2"], "reference": ["a1", None]})
    with pytest.raises(DataError, match=r"nothing to train on.*1 rows are empty or longer than 200 tokens"):
        train(tmp_path, data=training_data(streams=[stream("reference", table)]))


def test_an_error_while_reading_reaches_the_caller(tmp_path: Path) -> None:
    def broken() -> pa.Table:
        raise DataError("digest differs", shard="train-00001")

    with pytest.raises(DataError, match="train-00001: digest differs"):
        train(tmp_path, data=training_data(streams=[stream(shards=[*stream().shards, broken])]))


def test_a_damaged_state_is_an_error(tmp_path: Path) -> None:
    (tmp_path / ".state.pt").write_bytes(b"not a checkpoint")
    with pytest.raises(ModelError, match=r"state\.pt cannot be read as a checkpoint"):
        train(tmp_path)


def test_a_full_disk_is_an_error_and_leaves_what_was_there(tmp_path: Path) -> None:
    import resource

    path = tmp_path / "state.pt"
    checkpoint.save(path, {"value": torch.ones(3)})
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limit[1]))
    try:
        with pytest.raises(PotstillError, match="the disk is full"):
            checkpoint.save(path, {"value": torch.ones(100_000)})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
        signal.signal(signal.SIGXFSZ, ignored)
    assert checkpoint.load(path)["value"].tolist() == [1, 1, 1]
    assert [each.name for each in tmp_path.iterdir()] == ["state.pt"]


def test_a_checkpoint_runs_no_code(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[Any, ...]:
            return os.system, (f"touch {tmp_path}/ran",)

    torch.save({"model": Evil()}, tmp_path / "checkpoint.pt")
    with pytest.raises(ModelError, match="cannot be read as a checkpoint"):
        checkpoint.load_model(tmp_path / "checkpoint.pt", "cpu")
    assert not (tmp_path / "ran").exists()


def test_another_file_is_no_model(tmp_path: Path) -> None:
    checkpoint.save(tmp_path / "other.pt", {"weights": torch.ones(1)})
    with pytest.raises(ModelError, match=r"other\.pt is no checkpoint of an OpenNMT-py transformer"):
        checkpoint.load_model(tmp_path / "other.pt", "cpu")


def test_threads_and_random_state_are_given_back(tmp_path: Path) -> None:
    threads, state = torch.get_num_threads(), torch.random.get_rng_state()
    torch.set_num_threads(2)
    try:
        train(tmp_path, optimiser=OPTIMISER.model_copy(update={"steps": 1}))
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(torch.random.get_rng_state(), state)
