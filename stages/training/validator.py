"""What a training does at each validation, once the loss is known: translate, judge, keep, tell."""

import logging
from pathlib import Path
from typing import Any

from stages.training.journal import Journal
from stages.training.keeping import Keeper
from stages.training.loop import Training
from stages.training.stopping import PairSwitch
from stages.training.sums import Sums
from stages.training.translating import Translations
from stages.training.valid_rows import ValidBatches
from stages.training.validation_config import ValidationConfig

_LOG = logging.getLogger(__name__)


class Validator:
    """One training's validations. `of`: rows that could be looked at; `translations` where they are translated."""

    def __init__(
        self,
        config: ValidationConfig,
        batches: ValidBatches | None,
        of: int,
        translations: Translations | None,
        switch: PairSwitch | None,
        folder: Path,
        threads: int,
    ) -> None:
        self.batches, self.keeper = batches, Keeper(folder, config)
        self._config, self._of, self._translations, self._switch = config, of, translations, switch
        self._folder, self._threads = folder, threads

    def begin(self) -> None:
        """Says what is looked at."""
        if self.batches is not None:
            translated = f", {len(self._translations)} of them translated" if self._translations else ""
            _LOG.info("validation looks at %d of %d rows%s", self.batches.rows(), self._of, translated)

    def validated(self, training: Training, journal: Journal, step: int, sums: Sums) -> None:
        """The loss of the sample has been found after this step."""
        told = self._switch.told() if self._switch else {}
        if not sums:
            journal.validated(step, sums, told)
            return
        figure = sums["cross_entropy"].mean()
        if self._translations is not None:
            figure = self._translations.score(training.model, training.average, self._folder, self._threads)
            told = {**told, f"valid_{self._config.metric}": figure}
        journal.validated(step, sums, told)
        self.keeper.offer(step, figure, training.average or list(training.model.module.parameters()))

    def metrics(self) -> dict[str, Any]:
        """What is to be known of it afterwards."""
        if self.batches is None or not (rows := self.batches.rows()):
            return {}
        told: dict[str, Any] = {"rows": rows, "of": self._of}
        if self._translations is not None:
            told["translated"] = len(self._translations)
        best = self.keeper.best
        if best is not None and self._config.looks_back():
            value = best.cost if self._config.metric == "cross_entropy" else -best.cost
            told |= {"metric": self._config.metric, "best": float(f"{value:.6g}"), "best_step": best.step}
        if steps := self.keeper.shipped():
            told["shipped_steps"] = steps
        return {"validation": told}
