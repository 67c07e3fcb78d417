"""What a training leaves to read: lines of training.jsonl, their times beside them, and progress."""

import json
import logging
import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from data.runtime import Progress, Validated, unheard
from stages.training.curves import TIMINGS, VALID_SECONDS, is_of_training, lines_of
from stages.training.sums import Sum, Sums, added

_LOG = logging.getLogger(__name__)
_SECONDS_BETWEEN_SIGNS = 1.0
# What every line begins with.
_PLACE = ("step", "tokens")


class Journal:
    """Sums what happens between two reports and writes a JSON line for each; goes on where a killed one stopped.

    Lines have `step` and `tokens` (target tokens trained on so far), and either the means over the steps since the line
    before (`loss`, `cross_entropy`, `divergence`, `accuracy`, online terms, ...) or the same of the validation set,
    `valid_` before their names. Each is a mean over the positions where there was something to sum, and is left out
    where there was none: `divergence` over those that had soft targets with a weight. They are the same in every run;
    for each of them there is a line of timings.jsonl, which is not.
    """

    def __init__(
        self, path: Path, steps: int, report_every: int, progress: Progress, validated: Validated = unheard
    ) -> None:
        self._path, self._steps, self._report_every = path, steps, report_every
        self._progress, self._told = progress, validated
        self._sums: dict[str, Sum] = {}
        self._reported = self._started = self._shown = time.monotonic()
        # Of all validations, and when the last step before the one under way was done.
        self._validating, self._trained_at = 0.0, self._started
        self._earlier = 0.0
        self._earlier_cpu, self._cpu_started = 0.0, time.process_time()
        self.tokens = 0
        self.validated_at = -1
        self._warned = False
        self.last: dict[str, float] = {}
        self.last_valid: dict[str, float] = {}

    @property
    def seconds(self) -> float:
        """Time spent training, over all runs."""
        return self._earlier + time.monotonic() - self._started

    @property
    def cpu_seconds(self) -> float:
        """Time that this process's threads computed, over all runs: what a busy machine does not change."""
        return self._earlier_cpu + time.process_time() - self._cpu_started

    def times(self) -> dict[str, float]:
        """For whoever wants to know what it cost: another in every run."""
        return {
            "seconds": round(self.seconds, 1),
            "cpu_seconds": round(self.cpu_seconds, 1),
            "validation_seconds": round(self._validating, 1),
        }

    def state(self) -> dict[str, Any]:
        """All that later lines depend on, what is in no line yet included."""
        sums = {name: list(each) for name, each in self._sums.items()}
        return {"tokens": self.tokens, "sums": sums, "validated_at": self.validated_at}

    def clocks(self) -> dict[str, float]:
        """The same of the times."""
        return {
            "seconds": self.seconds,
            "cpu_seconds": self.cpu_seconds,
            "validating": self._validating,
            "seconds_of_sums": time.monotonic() - self._reported,
        }

    def begin(
        self, step: int = 0, state: Mapping[str, Any] | None = None, clocks: Mapping[str, float] | None = None
    ) -> None:
        """Starts the clocks at `step`, going on from `state`; lines of what came later, left by a kill, are dropped.

        What was told last is known again, so that a run killed at its very end has nothing left to say.
        """
        self._started = self._shown = self._reported = time.monotonic()
        self._cpu_started = time.process_time()
        if state is not None:
            self.tokens, self.validated_at = state["tokens"], state["validated_at"]
            self._sums = {name: Sum(*each) for name, each in state["sums"].items()}
        if clocks is not None:
            self._earlier, self._earlier_cpu = clocks["seconds"], clocks["cpu_seconds"]
            self._validating = clocks["validating"]
            self._reported -= clocks["seconds_of_sums"]
        self._trained_at = self._started
        # A validation after this step, of which the state does not know, is done again.
        _shorten(self._times_path, step, self.validated_at)
        for line in _shorten(self._path, step, self.validated_at):
            values = {name: value for name, value in line.items() if name not in _PLACE}
            if is_of_training(line):
                self.last = values
            else:
                self.last_valid = values

    def trained(self, step: int, learning_rate: float, sums: Sums) -> None:
        """Takes the sums of one step; every `report_every` steps and at the last they become a line.

        Progress is told then, and every second; between lines the sums are not looked at, which on a GPU would
        wait for the step.
        """
        self._sums = added(self._sums, sums)
        self.tokens += sums["loss"].positions
        self._trained_at = now = time.monotonic()
        due = step % self._report_every == 0 or step == self._steps
        if not due and now - self._shown < _SECONDS_BETWEEN_SIGNS:
            return
        speed = self._sums["loss"].positions / max(now - self._reported, 1e-9)
        if due:
            self.last = self._write(step, {**_means(self._sums), "learning_rate": learning_rate})
            self._write_times(step, "tokens_per_second", speed)
            self._sums, self._reported = {}, now
        self._shown = now
        extras = {"tokens_per_second": speed}
        extras.update((name, self.last[name]) for name in ("loss", "perplexity") if name in self.last)
        self._progress(step, self._steps, extras)

    def validated(self, step: int, sums: Sums, of_pairs: Mapping[str, float] | None = None) -> None:
        """Writes a line on the validation set; the time it took does not count against the training's speed.

        `of_pairs`: what is to be told beside it, of language pairs. Without sums there was no token to validate on:
        nothing is written or told, as no figure of it is true.
        """
        self.validated_at = step
        if not sums:
            self._warn_of_no_validation()
            return
        means = _means(sums)
        told = {f"valid_{name}": means[name] for name in ("cross_entropy", "perplexity", "accuracy")}
        self.last_valid = self._write(step, {**told, **(of_pairs or {})})
        seconds = time.monotonic() - self._trained_at
        self._validating += seconds
        self._write_times(step, VALID_SECONDS, seconds)
        self._told(step, self.last_valid)
        if not self._sums:
            self._reported = time.monotonic()

    def _warn_of_no_validation(self) -> None:
        if not self._warned:
            _LOG.warning(
                "%s has no valid_* figures: no row of the valid split has a source and a reference of at most "
                "optimiser.max_tokens tokens; add rows with references to it, or raise max_tokens",
                self._path,
            )
        self._warned = True

    @property
    def _times_path(self) -> Path:
        return self._path.with_name(TIMINGS)

    def _write(self, step: int, values: Mapping[str, float]) -> dict[str, float]:
        """A line; returns the values as they are read from it. JSON has no word for what is no number: left out."""
        written = {name: float(f"{value:.6g}") for name, value in values.items() if math.isfinite(value)}
        if lacking := values.keys() - written.keys():
            _LOG.warning("%s, step %d: %s is no number", self._path, step, ", ".join(sorted(lacking)))
        _append(self._path, {**dict(zip(_PLACE, (step, self.tokens), strict=True)), **written})
        return written

    def _write_times(self, step: int, name: str, value: float) -> None:
        _append(self._times_path, {"step": step, "seconds": round(self.seconds, 3), name: float(f"{value:.6g}")})


def _append(path: Path, line: Mapping[str, float]) -> None:
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(line, allow_nan=False) + "\n")


def _shorten(path: Path, step: int, validated_at: int) -> list[dict[str, float]]:
    """Leaves the whole lines up to `step`, of validations up to that one, in a file, and returns them."""
    kept = [line for line in lines_of(path) if line["step"] <= (step if is_of_training(line) else validated_at)]
    path.write_text("".join(f"{json.dumps(line, allow_nan=False)}\n" for line in kept), encoding="utf-8")
    return kept


def _means(sums: Sums) -> dict[str, float]:
    """Of each sum its mean over its positions, the loss first; a share of correct positions is the accuracy."""
    means = {name: each.mean() for name, each in sums.items()}
    accuracy = means.pop("correct")
    return {**means, "perplexity": math.exp(min(means["cross_entropy"], 100.0)), "accuracy": accuracy}
