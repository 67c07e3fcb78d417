"""The course of a training: which objective and which data hold in which step."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from stages.training.objective.config import ObjectiveConfig, plain_cross_entropy
from stages.training.objective.loss import Objective
from stages.training.schedules import Value, value_at


@dataclass(frozen=True)
class Phase:
    """What holds after `begin` steps, until the next phase begins."""

    begin: int
    objective: ObjectiveConfig
    # Of the streams by name, in any unit; a stream that is not named gives no batch.
    shares: Mapping[str, Value]


@dataclass(frozen=True)
class Course:
    """Phases in their order, the first from the beginning. Steps count from 1."""

    phases: Sequence[Phase]
    label_smoothing: float = 0.0

    def phase(self, step: int) -> Phase:
        """The phase that this step belongs to."""
        return [phase for phase in self.phases if phase.begin < step][-1]

    def objective(self, step: int) -> Objective:
        """What the output layer's loss is in this step, all numbers filled in."""
        config = self.phase(step).objective
        return Objective(
            label_smoothing=self.label_smoothing,
            cross_entropy_weight=value_at(config.cross_entropy, step),
            soft_target_weight=value_at(config.soft_targets.weight, step),
            temperature=value_at(config.soft_targets.temperature, step),
            missing_mass=config.soft_targets.missing_mass,
            tempering=config.soft_targets.tempering,
            hardest=config.soft_targets.hardest,
            shortlist=config.shortlist,
        )

    def shares(self, step: int) -> dict[str, float]:
        """Of each stream, how much of this step's data comes from it."""
        return {name: value_at(share, step) for name, share in self.phase(step).shares.items()}


def one_phase(streams: Sequence[str], label_smoothing: float) -> Course:
    """Cross-entropy alone, from beginning to end, on all streams alike."""
    return Course([Phase(0, plain_cross_entropy(), dict.fromkeys(streams, 1.0))], label_smoothing)
