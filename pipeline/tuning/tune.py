"""One call of `potstill tune`: what all trials share, then the trials, and what they leave to read."""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from data.errors import ConfigError
from pipeline.planning.scope import open_planner
from pipeline.recipe.recipe import Recipe
from pipeline.recipe.tune_config import TuneConfig
from pipeline.running.launch import ClusterOptions, libraries_of, locked
from pipeline.terminal.progress import Display
from pipeline.tuning.candidates import Candidates, Source, check_space, common_nodes, study_digest
from pipeline.tuning.chart import save_chart
from pipeline.tuning.results import Results, best_of
from pipeline.tuning.study import Study, Training

# Later trials learn from earlier ones: so many rounds at least.
_ROUNDS = 4


def tune_recipe(
    source: Source,
    open_display: Callable[[], Display],
    options: ClusterOptions,
    *,
    trials: int | None = None,
    until: str | None = None,
) -> Results:
    """Runs what is left of the sweep that a recipe's `[tune]` describes; a killed one goes on where it stood.

    Raises ConfigError with all faults before the first trial, DataError for a metric that no stage measures, RunError
    when what all trials share fails, or several trials one after the other.
    """
    recipe = source.read()
    tune = _tune_of(recipe, until)
    candidates = check_space(source, tune)
    wanted = trials or tune.trials
    with locked(recipe):
        digest = study_digest(source, tune, candidates)
        folder = _folder(recipe, digest)
        study = Study(folder, digest, tune, Training.of(candidates[0][1]))
        call = _Call(source, recipe, tune, candidates, folder, study)
        if study.left(wanted) > 0:
            with contextlib.closing(open_display()) as display:
                call.run(wanted, display, options)
        results = call.save()
        save_chart(results)
    return results


@dataclass(frozen=True)
class _Call:
    """What one call works with."""

    source: Source
    recipe: Recipe
    tune: TuneConfig
    candidates: Candidates
    folder: Path
    study: Study

    def run(self, trials: int, display: Display, options: ClusterOptions) -> None:
        """What all trials share, and then the trials."""
        # Imported here: a call with nothing to do is to end at once, and Dask takes its time.
        from pipeline.running.cluster import connect
        from pipeline.running.runner import Runner
        from pipeline.tuning.sweep import Sweep

        planner, common, run = open_planner(self.recipe), common_nodes(self.candidates), self.recipe.run
        libraries = libraries_of(self.candidates[0][1])
        with connect(options.scheduler, options.workers, libraries, dashboard=options.dashboard) as cluster:
            abreast = self._abreast(trials, cluster.workers, cluster.device)
            where = f"{cluster.workers} worker threads on {options.scheduler or 'this machine'} ({cluster.device})"
            display.note(f"{self.study.left(trials)} trials to go, {abreast} at a time; {where}")
            runner = partial(
                Runner,
                cluster,
                planner,
                display,
                retries=run.retries,
                retry_pause=run.retry_pause,
                shards_in_flight=run.shards_in_flight,
            )
            runner().run(common, planner.plan(common))
            names = frozenset(node.name for node in common.nodes)
            sweep = Sweep(self.study, self.source, self.tune, runner(abreast=abreast), display, names, self.save)
            sweep.run(trials, abreast)

    def save(self) -> Results:
        """The study as it stands, written down."""
        rows = self.study.rows()
        best = best_of(rows, self.tune)
        command = self.source.command(best.settings) if best is not None else []
        results = Results(self.recipe.run.name, self.folder, self.tune, rows, self.study.importances(), command)
        results.save()
        return results

    def _abreast(self, trials: int, workers: int, device: str) -> int:
        if self.tune.parallel is not None:
            return self.tune.parallel
        return 1 if device == "cuda" else min(workers, max(1, trials // _ROUNDS))


def _tune_of(recipe: Recipe, until: str | None) -> TuneConfig:
    if recipe.tune is None:
        raise ConfigError([f"recipe {recipe.path}: it has no section [tune.space], so there is nothing to vary"])
    tune = recipe.tune.model_copy(update={"until": until}) if until else recipe.tune
    recipe.graph.up_to(tune.until)
    return tune


def _folder(recipe: Recipe, digest: str) -> Path:
    url = recipe.run.store_url()
    if "://" in url:
        raise ConfigError([f"run.store: {url} is no local folder, where a study is kept; set run.store to a folder"])
    return Path(url) / f"tune-{digest}"
