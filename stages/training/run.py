"""One training in its folder: from a beginning, or from where it was killed, to what it leaves."""

import json
import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from data.errors import ModelError
from data.local import write_atomically
from data.runtime import Runtime
from stages.training import checkpoint
from stages.training.batches.batches import Counts
from stages.training.batches.mixture import Mixture, Place
from stages.training.batches.prefetch import Prefetcher
from stages.training.config import OptimiserConfig, Precision
from stages.training.curves import CURVES, TIMINGS
from stages.training.earlier import Earlier
from stages.training.epochs import epochs_had
from stages.training.journal import Journal
from stages.training.loop import Training
from stages.training.model import Transformer
from stages.training.objective.phases import Course
from stages.training.optimiser import use_bfloat16
from stages.training.step_loss import OnlineTerms
from stages.training.stopping import PairSwitch
from stages.training.sums import Sums
from stages.training.tensors import to_torch
from stages.training.validator import Validator

_LOG = logging.getLogger(__name__)
CHECKPOINT, STATE_FILE = "checkpoint.pt", "state.pt"
# Scratch: names that begin with a dot are left out of the artefact and go when it is complete.
METRICS = ".metrics.json"
_STATE, _BEGUN = ".state.pt", ".begun.json"
_AHEAD = 8


@dataclass(frozen=True)
class Begun:
    """What a training is done with from its first call to its last, whatever later calls are given."""

    threads: int
    auto: Precision

    @classmethod
    def in_folder(cls, folder: Path, runtime: Runtime, auto: Precision | None = None) -> "Begun":
        """As the first call left it, which may be this one. `auto`: what an earlier training had."""
        path = folder / _BEGUN
        if path.exists():
            return cls(**json.loads(path.read_text(encoding="utf-8")))
        begun = cls(runtime.threads, auto or _fastest(runtime.device))
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(path, json.dumps(asdict(begun)).encode())
        return begun


class Run:
    """One training. A state is all that a later call needs; `begun` is known before there is any."""

    def __init__(
        self,
        network: Transformer,
        mixture: Mixture,
        optimiser: OptimiserConfig,
        begun: Begun,
        folder: Path,
        runtime: Runtime,
        validator: Validator,
        earlier: Earlier | None = None,
        rows: Mapping[str, int] | None = None,
    ) -> None:
        self._earlier, self._rows = earlier, rows or {}
        self._network, self._mixture, self._validator = network, mixture, validator
        self._begun, self._folder, self._runtime = begun, folder, runtime
        taken = begun.auto if optimiser.precision == "auto" else optimiser.precision
        self._optimiser = optimiser.model_copy(update={"precision": taken})
        self._journal = Journal(
            folder / CURVES, optimiser.steps, optimiser.report_every, runtime.progress, runtime.validated
        )
        self._saved, self._place = -1, Place()

    def complete(self, course: Course, online: OnlineTerms | None, switch: PairSwitch | None) -> dict[str, Any]:
        """Goes on from where a call before it stood, or an earlier training, to the end; returns the metrics."""
        training = self._training = Training(
            self._network, self._optimiser, course, self._runtime.device, self, online, switch
        )
        place, valid = self._resume(training), self._validator.batches
        self._validator.begin()
        self._train(training, place)
        if valid is not None and self._journal.validated_at != training.step:
            training.validate(valid)
        weights = self._validator.keeper.weights() or training.average
        checkpoint.save_model(self._folder / CHECKPOINT, self._network, weights)
        if self._optimiser.keep_state:
            checkpoint.save(self._folder / STATE_FILE, self._state(training))
        metrics = self._metrics(training)
        write_atomically(self._folder / METRICS, json.dumps(metrics, indent=1, allow_nan=False).encode())
        (self._folder / _STATE).unlink(missing_ok=True)
        return metrics

    def _train(self, training: Training, place: Place) -> None:
        if training.step >= self._optimiser.steps or self.has_ended():
            return
        device, separator = self._runtime.device, self._network.separator
        items = (to_torch(batch, after, device, separator) for batch, after in self._mixture.batches(place))
        with Prefetcher(items, _AHEAD) as batches:
            training.train(batches, self._validator.batches)
        if self.has_ended():
            _LOG.info("step %d: the training ends, as validation found nothing better for long", training.step)

    def _resume(self, training: Training) -> Place:
        own = self._folder / _STATE
        state = checkpoint.load(own) if own.exists() else self._earlier_state()
        if not state:
            self._journal.begin()
            return Place()
        self._check_precision(training.precision, state["precision"])
        training.load_state(state.pop("training"))  # so that it is not held while the training runs
        self._check_steps(training)
        if "clocks" in state:
            self._validator.keeper.load_state(state["keeper"])
        self._journal.begin(training.step, state["journal"], state.get("clocks"))
        place = self._place = Place.of_state(state["place"])
        return place

    def _earlier_state(self) -> dict[str, Any]:
        """The state that an earlier training left, whose lines are taken over; empty where it is not gone on with."""
        if self._earlier is None or self._earlier.state is None:
            return {}
        for name in (CURVES, TIMINGS):
            (self._folder / name).write_bytes((self._earlier.state.parent / name).read_bytes())
        return checkpoint.load(self._earlier.state)

    def _check_steps(self, training: Training) -> None:
        if self._earlier and training.step > self._optimiser.steps:
            raise ModelError(
                f"{self._earlier.state} has had {training.step} steps, and optimiser.steps is {self._optimiser.steps}: "
                "raise it"
            )

    def _check_precision(self, asked: str, began: str) -> None:
        path, here = self._folder / _STATE, _fastest(self._runtime.device)
        if asked != began:
            raise ModelError(
                f"{path} is of a training in {began} and cannot go on in {asked}: set student.optimiser.precision to "
                f'"{began}" (teacher.optimiser.precision for a teacher), or remove {self._folder} to begin anew'
            )
        if self._begun.auto != here:
            _LOG.warning(
                "%s: the training goes on in %s, as it began; on this machine it would have begun in %s. Set "
                "optimiser.precision where machines differ",
                path,
                self._begun.auto,
                here,
            )

    def trained(self, step: int, learning_rate: float, sums: Sums) -> None:
        """Told by the loop after every step."""
        self._journal.trained(step, learning_rate, sums)

    def validated(self, step: int, sums: Sums) -> None:
        """Told by the loop after every validation."""
        self._validator.validated(self._training, self._journal, step, sums)

    def has_ended(self) -> bool:
        """Whether validation has found nothing better for so long that the training is over."""
        return self._validator.keeper.stopped

    def checkpoint(self, training: Training) -> None:
        """Saves all that a later call goes on from."""
        if training.step == self._saved:  # the Trainer saves its last step twice when a checkpoint was due there
            return
        self._saved = training.step
        checkpoint.save(self._folder / _STATE, self._state(training) | {"clocks": self._journal.clocks()})
        self._validator.keeper.clear()

    def _state(self, training: Training) -> dict[str, Any]:
        return {
            "training": training.state(),
            "precision": training.precision,
            "place": (training.following or self._place).state(),
            "keeper": self._validator.keeper.state(),
            "journal": self._journal.state(),
        }

    def _metrics(self, training: Training) -> dict[str, Any]:
        place: Place = training.following or self._place
        # Of each stream, rows of the fullest epoch: a run that ends within one has read a part of it.
        counts = {name: place.counts().get(name, Counts()) for name in self._mixture.sources}
        epochs = epochs_had(training.rows, place, self._rows)
        if epochs is not None:
            _LOG.info("%d steps were %.4g epochs", training.step, epochs)
        return {
            "steps": training.step,
            **({} if epochs is None else {"epochs": float(f"{epochs:.4g}")}),
            "tokens": self._journal.tokens,
            "parameters": self._network.parameters(),
            "source_vocabulary": len(self._network.source_vocabulary),
            "target_vocabulary": len(self._network.target_vocabulary),
            "precision": training.precision,
            "threads": self._begun.threads,
            "rows": sum(each.rows for each in counts.values()),
            "skipped_rows": sum(each.skipped for each in counts.values()),
            "streams": {name: {"rows": each.rows, "skipped_rows": each.skipped} for name, each in counts.items()},
            **self._validator.metrics(),
            **self._journal.last,
            **self._journal.last_valid,
            "batch_fill": round(place.fill(), 4),
            "timing": self._journal.times(),
        }


def _fastest(device: str) -> Precision:
    """What `auto` means on this machine."""
    return "bfloat16" if use_bfloat16("auto", device) else "float32"
