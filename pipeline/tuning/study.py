"""A study of optuna's in a file: which trials were asked for, what they reported, how they ended.

One process at a time works on it (whoever opens it holds the run's lock), and it may be killed at any moment.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

from pipeline.recipe.graph import Graph, is_training
from pipeline.recipe.tune_config import Settings, TuneConfig, direction_of
from pipeline.running.stopping import undisturbed
from pipeline.tuning.space import Drawn, draw, grid

if TYPE_CHECKING:
    from optuna.pruners import BasePruner
    from optuna.samplers import BaseSampler
    from optuna.trial import FrozenTrial, Trial

FILE = "study.log"
# User attributes of a trial.
_REASON, _SECONDS, _FIGURES, _SETTINGS, _AGAIN = "reason", "seconds", "figures", "settings", "again"
# Below this many whole trials, importances would be read out of noise: they compare the best tenth with the rest.
_LEAST_FOR_IMPORTANCE = 20

State = Literal["done", "pruned", "failed", "running"]


@dataclass(frozen=True)
class Training:
    """The training whose validations are watched: its node, its steps and the step of its first validation."""

    node: str = ""
    steps: int | None = None
    first_validation: int | None = None

    @classmethod
    def of(cls, graph: Graph) -> Self:
        """The last training of a graph; one without a name where there is none."""
        for node in reversed(graph.nodes):
            if is_training(node):
                optimiser: Any = node.config.optimiser  # type: ignore[attr-defined]
                # None where the recipe tells it in epochs.
                steps = getattr(optimiser, "known_steps", optimiser.steps)
                return cls(node.name, steps, optimiser.validate_every or None)
        return cls()


@dataclass(frozen=True)
class Row:
    """One trial, to be read. `value`: its metric; `curve`: the watched figure by step; `seconds`: what it cost."""

    number: int
    state: State
    value: float | None
    settings: Settings
    figures: Mapping[str, float]
    curve: Mapping[int, float]
    seconds: float | None
    reason: str


class Study:
    """The trials of one sweep, over all calls."""

    def __init__(self, folder: Path, name: str, tune: TuneConfig, training: Training) -> None:
        import optuna
        from optuna.storages import JournalStorage
        from optuna.storages.journal import JournalFileBackend

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        path = folder / FILE
        _mend(path)
        self._tune = tune
        self._grid = grid(tune.space) if tune.sampler == "grid" else []
        # Validations may be better when less and the metric when more: then they are reported with the other sign.
        self._sign = 1.0 if direction_of(tune.watched) in (tune.better, None) else -1.0
        self._study = optuna.create_study(
            storage=JournalStorage(JournalFileBackend(str(path))),
            study_name=name,
            direction="minimize" if tune.better == "minimise" else "maximize",
            pruner=_pruner(tune, training),
            load_if_exists=True,
        )
        trials = self._study.get_trials(deepcopy=False)
        self._unfinished = [trial for trial in trials if trial.state.name == "RUNNING"]
        self._used = sum(trial.state.name in ("COMPLETE", "PRUNED") for trial in trials)
        self._again(trials)

    def left(self, trials: int) -> int:
        """How many more may be begun until there are `trials`; what failed in an earlier call is tried again."""
        return (min(trials, len(self._grid)) if self._grid else trials) - self._used

    @undisturbed()
    def begin(self) -> tuple["Trial", Settings]:
        """The next trial and what it sets: one that a kill cut short, or a new one."""
        import optuna

        self._used += 1
        if self._unfinished:
            frozen = self._unfinished.pop(0)
            self._study.sampler = _sampler(self._tune, frozen.number)
            trial = optuna.trial.Trial(self._study, frozen._trial_id)
        else:
            # Anew for each trial: a resumed sweep draws what the unbroken one would have drawn.
            self._study.sampler = _sampler(self._tune, len(self._study.get_trials(deepcopy=False)))
            self._enqueue_next_of_grid()
            trial = self._study.ask()
        settings = draw(self._tune.space, trial)
        trial.set_user_attr(_SETTINGS, settings)
        return trial, settings

    @undisturbed()
    def report(self, trial: "Trial", step: int, figure: float) -> bool:
        """Takes the watched figure after a step of the trial's training; returns whether the pruner would end it."""
        if step not in self._frozen(trial).intermediate_values:
            trial.report(self._sign * figure, step)
        return bool(trial.should_prune())

    @undisturbed()
    def finish(self, trial: "Trial", value: float, figures: Mapping[str, float], seconds: float) -> None:
        """Ends a trial whose stages are done; one whose value is no number counts as pruned."""
        trial.set_user_attr(_FIGURES, dict(figures))
        if not math.isfinite(value):
            self.prune(trial, f"{self._tune.metric} is {value}", seconds)
            return
        trial.set_user_attr(_SECONDS, seconds)
        self._study.tell(trial, value)

    @undisturbed()
    def prune(self, trial: "Trial", reason: str, seconds: float) -> None:
        """Ends a trial that is not worth going on with."""
        from optuna.trial import TrialState

        trial.set_user_attr(_REASON, reason)
        trial.set_user_attr(_SECONDS, seconds)
        self._study.tell(trial, state=TrialState.PRUNED)

    @undisturbed()
    def fail(self, trial: "Trial", reason: str, seconds: float) -> None:
        """Ends a trial whose stages failed; another call tries it again."""
        from optuna.trial import TrialState

        trial.set_user_attr(_REASON, reason)
        trial.set_user_attr(_SECONDS, seconds)
        self._study.tell(trial, state=TrialState.FAIL)

    def rows(self) -> list[Row]:
        """All trials that were begun, in the order of their beginning."""
        return [self._row(trial) for trial in self._study.get_trials(deepcopy=False) if trial.state.name != "WAITING"]

    def importances(self) -> dict[str, float]:
        """Which dimension moves the metric how much (PED-ANOVA, https://arxiv.org/abs/2304.10255); sums to 1.

        Empty where there are too few whole trials to tell.
        """
        from optuna.importance import get_param_importances

        done = [trial for trial in self._study.get_trials(deepcopy=False) if trial.state.name == "COMPLETE"]
        if len(done) < _LEAST_FOR_IMPORTANCE or len({trial.value for trial in done}) < 2:
            return {}
        return {name: float(share) for name, share in get_param_importances(self._study).items()}

    def _row(self, trial: "FrozenTrial") -> Row:
        states: dict[str, State] = {"COMPLETE": "done", "PRUNED": "pruned", "FAIL": "failed"}
        state = states.get(trial.state.name, "running")
        attributes: dict[str, Any] = trial.user_attrs
        return Row(
            number=trial.number,
            state=state,
            value=trial.value if state == "done" else None,
            settings=attributes.get(_SETTINGS, {}),
            figures=attributes.get(_FIGURES, {}),
            curve={step: self._sign * value for step, value in sorted(trial.intermediate_values.items())},
            seconds=attributes.get(_SECONDS),
            reason=attributes.get(_REASON, ""),
        )

    def _frozen(self, trial: "Trial") -> "FrozenTrial":
        return self._study.get_trials(deepcopy=False)[trial.number]

    def _again(self, trials: list["FrozenTrial"]) -> None:
        """Puts what failed in an earlier call into the queue, once a call."""
        answered = {trial.user_attrs.get(_AGAIN) for trial in trials}
        for trial in trials:
            if trial.state.name == "FAIL" and trial.number not in answered and trial.params:
                self._study.enqueue_trial(trial.params, user_attrs={_AGAIN: trial.number})

    def _enqueue_next_of_grid(self) -> None:
        trials = self._study.get_trials(deepcopy=False)
        if not self._grid or any(trial.state.name == "WAITING" for trial in trials):
            return
        known = [_drawn(trial) for trial in trials]
        self._study.enqueue_trial(next(point for point in self._grid if point not in known))


def _drawn(trial: "FrozenTrial") -> Drawn:
    return dict(trial.params or trial.system_attrs.get("fixed_params", {}))


def _sampler(tune: TuneConfig, number: int) -> "BaseSampler":
    import numpy as np
    from optuna.samplers import RandomSampler, TPESampler

    seed = int(np.random.SeedSequence((tune.seed, number)).generate_state(1)[0])
    if tune.sampler != "tpe":
        return RandomSampler(seed=seed)
    return TPESampler(seed=seed, n_startup_trials=tune.startup_trials)


def _pruner(tune: TuneConfig, training: Training) -> "BasePruner":
    from optuna.pruners import HyperbandPruner, MedianPruner, NopPruner

    if tune.pruner == "none":
        return NopPruner()
    if tune.pruner == "median":
        return MedianPruner(n_startup_trials=tune.startup_trials, n_warmup_steps=tune.warmup_steps)
    return HyperbandPruner(
        min_resource=max(tune.warmup_steps, training.first_validation or 1),
        max_resource=training.steps or "auto",
    )


def _mend(path: Path) -> None:
    """Cuts off what a kill or a full disk left of a line, and the lock of a process that is no more."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.with_name(f"{path.name}.lock").unlink(missing_ok=True)
    content = path.read_bytes() if path.exists() else b""
    if not content.endswith(b"\n"):
        path.write_bytes(content[: content.rfind(b"\n") + 1])
