"""Two trainers on the same text: the student stage, and stock `onmt_train`, each with its own record of its speed."""

import itertools
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from bench.environment import plain
from bench.fixtures import new_artifact
from data.artifact import Artifact
from data.model_folder import read_vocabulary
from data.runtime import Runtime
from stages.student import stage as student
from stages.text.tokenizer import load_tokenizer
from stages.training.config import OptimiserConfig
from stages.training.curves import timed_lines

# The peer's script.
STOCK = Path(__file__).with_name("stock_onmt_train.py")
# What is told of the peer's progress: "bsz: source/target/sentences a batch; source/target tok/s".
_REPORT = re.compile(r"Step +(\d+)/.*bsz: +\d+/ *(\d+)/.*; *\d+/ *(\d+) tok/s")


class Speed(NamedTuple):
    """Of a training under way: everything before the first report is left out."""

    tokens: float  # target tokens, </s> counted
    steps: int
    seconds: float

    @property
    def tokens_per_second(self) -> float:
        """Target tokens, </s> counted."""
        return self.tokens / self.seconds

    @property
    def step_seconds(self) -> float:
        """Of one update."""
        return self.seconds / self.steps


@dataclass(frozen=True)
class Trainings:
    """What all contenders train on. `inputs`: corpus, tokenizer, teacher and, with soft targets, dataset."""

    inputs: Mapping[str, Artifact]
    threads: int
    folder: Path

    def ours(self, config: student.Config, name: str) -> Speed:
        """The student stage, from its training.jsonl."""
        output = new_artifact(self.folder, name)
        student.run(self.inputs, config, output, Runtime(self.threads))
        lines = timed_lines(output.work_path())
        first, last = (next(line for line in order if "loss" in line) for order in (lines, reversed(lines)))
        shutil.rmtree(output.work_path())
        tokens, steps, seconds = (last[key] - first[key] for key in ("tokens", "step", "seconds"))
        return Speed(tokens, round(steps), seconds)

    def stock(self, options: Path) -> Speed:
        """`onmt_train` with a file of options, from its log."""
        environment = plain() | {"OMP_NUM_THREADS": str(self.threads), "MKL_NUM_THREADS": str(self.threads)}
        command = [sys.executable, "-W", "ignore", str(STOCK), "-config", str(options)]
        done = subprocess.run(  # noqa: S603
            command, env=environment, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise RuntimeError(f"onmt_train failed:\n{done.stderr[-3000:]}")
        return speed_of_log(done.stderr + done.stdout)


def speed_of_log(log: str) -> Speed:
    """Speed over all reports of onmt_train's log but the first."""
    reports = sorted({tuple(map(int, found.groups())) for found in _REPORT.finditer(log)})
    if len(reports) < 2:
        shown = "\n".join(line for line in log.splitlines() if "Step" in line)
        raise RuntimeError(f"expected two reports or more of onmt_train, found {len(reports)}:\n{shown}")
    tokens = seconds = 0.0
    for (before, *_), (step, batch_tokens, per_second) in itertools.pairwise(reports):
        tokens += batch_tokens * (step - before)
        seconds += batch_tokens * (step - before) / per_second
    return Speed(tokens, reports[-1][0] - reports[0][0], seconds)


def write_stock_options(trainings: Trainings, config: student.Config, folder: Path, **changes: Any) -> Path:
    """Text, vocabularies and options that make stock onmt_train train the baseline of `config`."""
    folder.mkdir(parents=True, exist_ok=True)
    _write_text(trainings.inputs, folder)
    for side in ("source", "target"):
        tokens = read_vocabulary(trainings.inputs["teacher"].path(), side)
        (folder / f"{side}.vocabulary").write_text("".join(f"{token}\n" for token in tokens), encoding="utf-8")
    path = folder / "options.yaml"
    path.write_text(json.dumps(_stock_options(config, folder) | changes, indent=1))  # JSON is YAML
    return path


def _write_text(inputs: Mapping[str, Artifact], folder: Path) -> None:
    tokenizer = load_tokenizer(inputs["tokenizer"].path())
    with (folder / "source.txt").open("w") as source, (folder / "target.txt").open("w") as target:
        for table in inputs["corpus"].tables("train-", ("source", "reference")):
            table = table.filter(table["reference"].is_valid())
            source.writelines(f"{' '.join(row)}\n" for row in tokenizer.encode_source(table["source"].to_pylist()))
            target.writelines(f"{' '.join(row)}\n" for row in tokenizer.encode_target(table["reference"].to_pylist()))


def _stock_options(config: student.Config, folder: Path) -> dict[str, Any]:
    """Its defaults where ours has no say: attention, number of data loaders, precision."""
    text = {"path_src": str(folder / "source.txt"), "path_tgt": str(folder / "target.txt"), "transforms": []}
    vocabulary = len((folder / "target.vocabulary").read_text(encoding="utf-8").splitlines())
    return {
        "data": {"corpus": text},
        "src_vocab": str(folder / "source.vocabulary"),
        "tgt_vocab": str(folder / "target.vocabulary"),
        "src_vocab_size": vocabulary + 8,
        "tgt_vocab_size": vocabulary + 8,
        "save_model": str(folder / "model"),
        **_stock_model(config),
        **_stock_optimiser(config.optimiser),
    }


def _stock_model(config: student.Config) -> dict[str, Any]:
    model = config.model
    return {
        "encoder_type": "transformer",
        "decoder_type": "transformer",
        "enc_layers": model.encoder_layers,
        "dec_layers": model.decoder_layers,
        "hidden_size": model.width,
        "word_vec_size": model.width,
        "heads": model.heads,
        "transformer_ff": model.feed_forward,
        "add_ffnbias": True,
        "position_encoding": True,
        "dropout": [model.dropout],
        "attention_dropout": [model.attention_dropout],
        "share_vocab": model.share_embeddings,
        "share_embeddings": model.share_embeddings,
        "share_decoder_embeddings": model.tie_output,
        "param_init": 0.0,
        "param_init_glorot": True,
    }


def _stock_optimiser(optimiser: OptimiserConfig) -> dict[str, Any]:
    never = 10 * optimiser.steps
    return {
        "optim": "adam",
        "decay_method": optimiser.schedule,
        "learning_rate": optimiser.learning_rate,
        "warmup_steps": optimiser.warmup_steps,
        "adam_beta2": optimiser.adam_beta2,
        "label_smoothing": optimiser.label_smoothing,
        "max_grad_norm": optimiser.max_grad_norm,
        "batch_type": "tokens",
        "normalization": "tokens",
        "batch_size": optimiser.batch_tokens,
        "accum_count": [optimiser.accumulate],
        "bucket_size": optimiser.shuffle_rows,
        "train_steps": optimiser.steps,
        "valid_steps": never,
        "save_checkpoint_steps": never,
        "report_every": optimiser.report_every,
        "seed": optimiser.seed,
    }
