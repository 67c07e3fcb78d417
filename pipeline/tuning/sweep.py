"""Trials on a cluster: so many lanes of the runner at a time, pruned by what their trainings find on the valid set."""

import json
import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from data.errors import ConfigError, DataError
from data.store import Manifest
from pipeline.recipe.tune_config import VALIDATION, TuneConfig, direction_of
from pipeline.running.lane import Lane, Validation
from pipeline.running.runner import RunError, Runner
from pipeline.running.tasks import Failure
from pipeline.terminal.progress import Display
from pipeline.tuning.candidates import Source
from pipeline.tuning.space import override_texts
from pipeline.tuning.study import Study, Training
from stages.training.curves import CURVES

if TYPE_CHECKING:
    from optuna.trial import Trial

# So many trials that fail one after the other have a common cause.
MOST_FAILURES = 3


@dataclass
class _Started:
    """A trial under way."""

    trial: "Trial"
    lane: Lane
    training: Training
    began: float

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.began


class Sweep:
    """One call's share of a study. `common`: nodes that are there before the first trial, and cost it nothing."""

    def __init__(
        self,
        study: Study,
        source: Source,
        tune: TuneConfig,
        runner: Runner,
        display: Display,
        common: frozenset[str],
        settled: Callable[[], object],
    ) -> None:
        self._study, self._source, self._tune = study, source, tune
        self._runner, self._display, self._common, self._settled = runner, display, common, settled
        self._started: list[_Started] = []
        self._failures: list[Failure] = []

    def run(self, trials: int, parallel: int) -> None:
        """Trials until there are so many; raises RunError when they fail one after the other."""
        while True:
            while len(self._started) < parallel and self._study.left(trials) > 0 and not self._hopeless():
                self._begin()
            if not self._started:
                break
            if not self._end_finished():
                self._runner.turn()
                self._take_validations()
        # What was pruned last may take a moment to notice.
        while self._runner.busy:
            self._runner.turn()
        if self._hopeless():
            raise RunError(self._failures, [])

    def _hopeless(self) -> bool:
        return len(self._failures) >= MOST_FAILURES

    def _begin(self) -> None:
        trial, settings = self._study.begin()
        label = f"trial {trial.number}"
        self._display.note(f"{label}: {', '.join(override_texts(settings))}")
        try:
            graph = self._source.graph(self._tune, settings)
        except ConfigError as error:
            # Each is right by itself, but not with the others.
            self._study.prune(trial, f"no valid recipe: {'; '.join(error.faults[1:])}", 0.0)
            self._tell(label, f"pruned: no valid recipe: {'; '.join(error.faults[1:])}")
            return
        started = _Started(trial, Lane(graph, label=label), Training.of(graph), time.monotonic())
        self._started.append(started)
        self._runner.begin(started.lane)

    def _end_finished(self) -> bool:
        """Whether any trial was ended."""
        ended = [started for started in self._started if started.lane.ended]
        for started in ended:
            self._started.remove(started)
            self._runner.drop(started.lane)
            if started.lane.failures:
                self._fail(started)
            else:
                self._finish(started)
        return bool(ended)

    def _finish(self, started: _Started) -> None:
        lane = started.lane
        manifests = {
            node.name: artifact.manifest()
            for node in lane.graph.nodes
            if (artifact := lane.steps[node.name].artifact) is not None
        }
        # All of them: those of a trial that was there already, and those that came after the end.
        for step, figures in _curve(started):
            self._report(started, step, figures)
        value = figure_of(self._tune.metric, manifests)
        seconds = sum(manifest.seconds for name, manifest in manifests.items() if name not in self._common)
        self._failures.clear()
        self._study.finish(started.trial, value, self._figures(manifests), seconds)
        self._tell(started.lane.label, f"{self._tune.metric} {value:.5g}")

    def _figures(self, manifests: Mapping[str, Manifest]) -> dict[str, float]:
        """What the trial's own stages measured, as far as one can say which way it is better; later stages win."""
        figures: dict[str, float] = {}
        for name, manifest in manifests.items():
            if name not in self._common:
                figures |= dict(_numbers(manifest.metrics))
        return {name: value for name, value in figures.items() if direction_of(name)}

    def _fail(self, started: _Started) -> None:
        failures = [failure for failures in started.lane.failures.values() for failure in failures]
        self._failures += failures[:1]
        self._study.fail(started.trial, "; ".join(map(str, failures)), started.seconds)
        self._tell(started.lane.label, f"failed: {failures[0]}")

    def _take_validations(self) -> None:
        for started in list(self._started):
            validations, started.lane.validations = started.lane.validations, []
            for validation in validations:
                if validation.node == started.training.node and self._report(
                    started, validation.step, validation.figures
                ):
                    self._prune(started, validation)
                    break

    def _report(self, started: _Started, step: int, figures: Mapping[str, float]) -> bool:
        """Whether the trial is to be pruned; at its last step a training is done anyway."""
        figure = figures.get(self._tune.watched)
        if figure is None:
            if self._tune.pruner == "none":
                return False
            raise DataError(
                f"tune.watch: validations of {started.training.node} have no figure {self._tune.watched!r}; "
                f"they have {', '.join(figures)}"
            )
        return self._study.report(started.trial, step, figure) and step != started.training.steps

    def _prune(self, started: _Started, validation: Validation) -> None:
        self._started.remove(started)
        self._runner.drop(started.lane)
        figure = validation.figures[self._tune.watched]
        reason = f"{self._tune.watched} {figure:.5g} at step {validation.step}"
        self._study.prune(started.trial, reason, started.seconds)
        self._tell(started.lane.label, f"pruned: {reason}")

    def _tell(self, title: str, text: str) -> None:
        self._display.note(f"{title}: {text}")
        self._settled()


def _curve(started: _Started) -> Iterator[tuple[int, dict[str, float]]]:
    """Validations that a finished training left in its folder."""
    step = started.lane.steps.get(started.training.node)
    if step is None or step.artifact is None:
        return
    path = step.artifact.path() / CURVES
    for text in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
        line = json.loads(text)
        figures = {name: value for name, value in line.items() if name.startswith(VALIDATION)}
        if figures:
            yield line["step"], figures


def figure_of(metric: str, manifests: Mapping[str, Manifest]) -> float:
    """A figure of the last stage that has it, by its dotted name; DataError with all names where none does."""
    for manifest in reversed(list(manifests.values())):
        found = dict(_numbers(manifest.metrics))
        if metric in found:
            return found[metric]
    known = sorted({name for manifest in manifests.values() for name in dict(_numbers(manifest.metrics))})
    raise DataError(f"tune.metric: no stage of the trial measures {metric!r}; measured are {', '.join(known)}")


def _numbers(metrics: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, float]]:
    for name, value in metrics.items():
        if isinstance(value, Mapping):
            yield from _numbers(value, f"{prefix}{name}.")
        elif isinstance(value, int | float) and not isinstance(value, bool):
            yield f"{prefix}{name}", float(value)
        elif value is None:
            # What is no number is null in a manifest.
            yield f"{prefix}{name}", math.nan
