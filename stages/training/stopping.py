"""Which pairs are still distilled: none in which the student has passed the teacher, as long as that lasts.

Selective distillation of https://arxiv.org/abs/1902.10461 (algorithm 1), with the cross-entropy on valid references
for the measure. It is a function of the last validation alone, which a resumed training repeats or finds in its state.
"""

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

from stages.training.batches.stream import pair_of
from stages.training.objective.loss import Objective


class PairSwitch:
    """Told of every validation; answers for each stream whether it is distilled."""

    def __init__(self, teacher: Mapping[str, float], margin: float = 0.0, untaught: Collection[str] = ()) -> None:
        """`teacher`: its cross-entropy in nats a token by pair; a pair without one is always distilled.

        `untaught`: streams that have nothing to be distilled from, and never are.
        """
        self._teacher, self._margin, self._untaught = dict(teacher), margin, frozenset(untaught)
        self._student: dict[str, float] = {}

    def validated(self, cross_entropies: Mapping[str, float]) -> None:
        """The student's cross-entropy of each validation stream of one pair, in nats a token."""
        pairs = {pair_of(stream): value for stream, value in cross_entropies.items()}
        self._student = {pair: value for pair, value in pairs.items() if pair}

    def distils(self, stream: str) -> bool:
        """Whether batches of this stream are distilled."""
        return stream not in self._untaught and pair_of(stream) not in self.stopped()

    def stopped(self) -> Collection[str]:
        """Pairs in which the student is better than the teacher by more than the margin."""
        return {
            pair
            for pair, value in self._student.items()
            if pair in self._teacher and value < self._teacher[pair] - self._margin
        }

    def told(self) -> dict[str, float]:
        """For the journal: each pair's cross-entropy, and of those that a teacher taught whether they are distilled."""
        stopped, untaught = self.stopped(), {pair_of(stream) for stream in self._untaught}
        found = {f"valid_cross_entropy_{pair}": value for pair, value in self._student.items()}
        return found | {
            f"distils_{pair}": float(pair not in stopped)
            for pair in self._student
            if pair in self._teacher and pair not in untaught
        }

    def state(self) -> dict[str, Any]:
        """All that the next step depends on."""
        return dict(self._student)

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Goes back to what `state` gave."""
        self._student = dict(state)


def undistilled(objective: Objective) -> Objective:
    """The same without the teacher's distribution: cross-entropy on the target, at least in full."""
    return replace(
        objective, soft_target_weight=0.0, cross_entropy_weight=max(objective.cross_entropy_weight, 1.0), hardest=1.0
    )
