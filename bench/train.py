"""How fast and how lean the student trains: against stock `onmt_train`, with soft targets and without.

`python -m bench.train` writes bench/results/train.json; `--quick` looks at little and writes nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from bench import fixtures
from bench.fixtures import Fixture
from bench.loss_memory import Problem, peak_bytes
from bench.made_up_targets import made_up_dataset
from bench.records import Record, median, record, run_suite
from bench.trainers import Speed, Trainings, write_stock_options
from bench.turns import Turns, by_turns
from stages.student import stage as student

PACKAGES = ("torch", "OpenNMT-py")
K = 16
# The student of recipes/demo-full.toml, its batches and its rate.
MODEL = {"encoder_layers": 2, "decoder_layers": 1, "width": 160, "heads": 4, "feed_forward": 640}
OPTIMISER = {"batch_tokens": 1536, "learning_rate": 0.8}


@dataclass(frozen=True)
class Size:
    """How much is measured: reports of `report_every` steps a training, of which the first does not count."""

    reports: int
    report_every: int
    rounds: int
    positions: int
    vocabulary: int


FULL = Size(reports=4, report_every=40, rounds=3, positions=1536, vocabulary=32_000)
QUICK = Size(reports=2, report_every=20, rounds=1, positions=512, vocabulary=32_000)


def configured(size: Size, **changes: Any) -> student.Config:
    """A student that is trained without a break: no validation and no checkpoint but at the end."""
    steps = size.reports * size.report_every
    course = {"steps": steps, "report_every": size.report_every, "validate_every": 0, "checkpoint_every": steps}
    return student.Config.model_validate({"model": MODEL, "optimiser": OPTIMISER | course} | changes)


def compare_with_stock(trainings: Trainings, size: Size) -> list[Record]:
    """The baseline, so no soft targets: our trainer as it comes and in float32, theirs with and without loaders."""
    config = configured(size, data="reference")
    single = config.model_copy(update={"optimiser": config.optimiser.model_copy(update={"precision": "float32"})})
    folder = trainings.folder / "onmt"
    options = {
        "onmt_train": write_stock_options(trainings, config, folder / "default"),
        "onmt_train, no loaders": write_stock_options(trainings, config, folder / "single", num_workers=0),
    }
    contenders = {
        "ours": partial(trainings.ours, config, "auto"),
        "ours, float32": partial(trainings.ours, single, "float32"),
        **{name: partial(trainings.stock, path) for name, path in options.items()},
    }
    speeds, turns = _by_turns(contenders, size.rounds)
    rates = {name: median([one.tokens_per_second for one in speeds[name]]) for name in contenders}
    faster = max(options, key=lambda name: rates[name])
    ratio, single_ratio = (turns.ratio(faster, name) for name in ("ours", "ours, float32"))
    detail = _detail(speeds, turns) | {"precision": "auto", "ratio_float32": round(single_ratio, 3)}
    against = f"target tokens a second of stock {faster} (float32), the faster of it with and without loader processes"
    suffix = "_one_thread" if trainings.threads == 1 else ""
    return [
        _record(f"train_vs_onmt_train{suffix}", ratio, "ratio", trainings.threads, against, detail),
        _record(f"train_tokens_per_second{suffix}", rates["ours"], "target tokens/s", trainings.threads, "", detail),
    ]


def compare_soft_targets(trainings: Trainings, size: Size) -> list[Record]:
    """A step with K soft targets a position, in both kinds of KL, to a step without, on the same batches."""
    terms: dict[str, dict[str, Any]] = {"without": {"weight": 0.0}}
    terms |= {kind: {"weight": 1.0, "missing_mass": kind} for kind in ("ghost", "renormalise")}
    configs = {name: configured(size, objective={"soft_targets": term}) for name, term in terms.items()}
    contenders = {name: partial(trainings.ours, config, name) for name, config in configs.items()}
    speeds, turns = _by_turns(contenders, size.rounds)
    slower = max(("ghost", "renormalise"), key=lambda name: turns.ratio(name, "without"))
    detail = _detail(speeds, turns) | {"k": K, "missing_mass": slower}
    rate = median([one.tokens_per_second for one in speeds[slower]])
    name = f"train_tokens_per_second_k{K}"
    return [
        _record(
            f"kd_step_cost_k{K}", turns.ratio(slower, "without"), "ratio", trainings.threads,
            "seconds of a step of the same training without soft targets", detail,
        ),
        _record(name, rate, "target tokens/s", trainings.threads, "", detail),
    ]  # fmt: skip


def compare_memory(size: Size) -> Record:
    """Bytes that torch holds at the peak of loss and gradient; all that was there before does not count."""
    problem = Problem(size.positions, 512, size.vocabulary, K)
    peaks = {name: peak_bytes(partial(problem.gradients, call)) for name, call in problem.losses().items()}
    shape = {"positions": size.positions, "width": 512, "vocabulary": size.vocabulary, "k": K, "dtype": "float32"}
    against = "log_softmax over all positions plus KL, differentiated by autograd"
    detail = {"peak_bytes": peaks} | shape
    return _record("loss_memory_ratio", peaks["ours"] / peaks["plain"], "ratio", 1, against, detail)


def _by_turns(contenders: Mapping[str, partial[Speed]], rounds: int) -> tuple[dict[str, list[Speed]], Turns]:
    """Speeds, and the seconds of a target token by turns: what comes before the first report does not count."""
    speeds: dict[str, list[Speed]] = {name: [] for name in contenders}

    def run(name: str) -> float:
        speeds[name].append(contenders[name]())
        return 1 / speeds[name][-1].tokens_per_second

    return speeds, by_turns({name: partial(run, name) for name in contenders}, rounds)


def _detail(speeds: Mapping[str, list[Speed]], turns: Turns) -> dict[str, Any]:
    told = turns.detail()
    return {
        "spread": told["spread"],
        "processor_seconds": told["processor_seconds"],
        "model": MODEL,
        "optimiser": OPTIMISER,
        "tokens_per_second": {name: [round(one.tokens_per_second, 2) for one in all_] for name, all_ in speeds.items()},
        "step_seconds": {name: [round(one.step_seconds, 4) for one in all_] for name, all_ in speeds.items()},
        "tokens_per_step": {name: round(all_[0].tokens / all_[0].steps) for name, all_ in speeds.items()},
    }


def _record(name: str, value: float, unit: str, threads: int, against: str, detail: dict[str, Any]) -> Record:
    return record(name, value, unit, threads=threads, packages=PACKAGES, compared_with=against, detail=detail)


def measure(fixture: Fixture, size: Size, threads: int, folder: Path) -> list[Record]:
    """All figures of the suite. With one thread as well: a student and its baseline, side by side, have no more."""
    inputs = {**fixture.artifacts, "dataset": made_up_dataset(fixture.artifacts, folder, K)}
    single = Trainings(inputs, 1, folder / "one-thread")
    layouts = [single] if threads == 1 else [Trainings(inputs, threads, folder), single]
    stock = [record for trainings in layouts for record in compare_with_stock(trainings, size)]
    return [*stock, *compare_soft_targets(single, size), compare_memory(size)]


def main() -> None:
    """Runs the suite."""
    run_suite("train", __doc__, _measure)


def _measure(quick: bool, folder: Path) -> list[Record]:
    return measure(fixtures.demo(folder / "demo"), QUICK if quick else FULL, fixtures.cores(), folder)


if __name__ == "__main__":
    main()
