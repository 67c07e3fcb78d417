"""What a training leaves to read: lines of training.jsonl and progress."""

import json
import logging
import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from data.runtime import Progress, Validated, unheard
from stages.training.sums import Sum, Sums, added

_LOG = logging.getLogger(__name__)
_SECONDS_BETWEEN_SIGNS = 1.0
# What every line begins with.
_PLACE = ("step", "seconds", "tokens")


class Journal:
    """Sums what happens between two reports and writes a JSON line for each; goes on where a killed one stopped.

    Lines have `step`, `seconds` and `tokens` (target tokens trained on so far), and either the means over the
    steps since the line before (`loss`, `cross_entropy`, `divergence`, `accuracy`, online terms, ...) or the same of
    the validation set under names that begin with `valid_`. Each is a mean over the positions where there was
    something to sum, and is left out where there was none: `divergence` over those that had soft targets with a weight.
    """

    def __init__(
        self, path: Path, steps: int, report_every: int, progress: Progress, validated: Validated = unheard
    ) -> None:
        self._path, self._steps, self._report_every = path, steps, report_every
        self._progress, self._told = progress, validated
        self._sums: dict[str, Sum] = {}
        self._reported = self._started = self._shown = time.monotonic()
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

    def state(self) -> dict[str, Any]:
        """All that later lines depend on, what is in no line yet included."""
        return {
            "tokens": self.tokens,
            "seconds": self.seconds,
            "cpu_seconds": self.cpu_seconds,
            "sums": {name: list(each) for name, each in self._sums.items()},
            "seconds_of_sums": time.monotonic() - self._reported,
        }

    def begin(self, step: int = 0, state: Mapping[str, Any] | None = None) -> None:
        """Starts the clocks at `step`, going on from `state`; lines of later steps, left by a killed run, are dropped.

        What was told last is known again, so that a run killed at its very end has nothing left to say.
        """
        self._started = self._shown = self._reported = time.monotonic()
        self._cpu_started = time.process_time()
        if state is not None:
            self.tokens, self._earlier, self._earlier_cpu = state["tokens"], state["seconds"], state["cpu_seconds"]
            self._sums = {name: Sum(*each) for name, each in state["sums"].items()}
            self._reported -= state["seconds_of_sums"]
        lines = self._path.read_text(encoding="utf-8").splitlines() if self._path.exists() else []
        kept = [line for line in lines if line.endswith("}") and json.loads(line)["step"] <= step]
        self._path.write_text("".join(f"{line}\n" for line in kept), encoding="utf-8")
        for line in map(json.loads, kept):
            values = {name: value for name, value in line.items() if name not in _PLACE}
            if "loss" in values:
                self.last = values
            else:
                self.last_valid, self.validated_at = values, line["step"]

    def trained(self, step: int, learning_rate: float, sums: Sums) -> None:
        """Takes the sums of one step; every `report_every` steps and at the last they become a line.

        Progress is told then, and every second; between lines the sums are not looked at, which on a GPU would
        wait for the step.
        """
        self._sums = added(self._sums, sums)
        self.tokens += sums["loss"].positions
        now = time.monotonic()
        due = step % self._report_every == 0 or step == self._steps
        if not due and now - self._shown < _SECONDS_BETWEEN_SIGNS:
            return
        speed = self._sums["loss"].positions / max(now - self._reported, 1e-9)
        if due:
            means = _means(self._sums)
            self.last = self._write(step, {**means, "learning_rate": learning_rate, "tokens_per_second": speed})
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

    def _write(self, step: int, values: Mapping[str, float]) -> dict[str, float]:
        """A line; returns the values as they are read from it."""
        written = {name: float(f"{value:.6g}") for name, value in values.items()}
        place = dict(zip(_PLACE, (step, round(self.seconds, 3), self.tokens), strict=True))
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(place | written) + "\n")
        return written


def _means(sums: Sums) -> dict[str, float]:
    """Of each sum its mean over its positions, the loss first; a share of correct positions is the accuracy."""
    means = {name: each.mean() for name, each in sums.items()}
    accuracy = means.pop("correct")
    return {**means, "perplexity": math.exp(min(means["cross_entropy"], 100.0)), "accuracy": accuracy}
