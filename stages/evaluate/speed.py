"""Speed of several systems on the same threads, side by side in time."""

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Timing:
    """Wall seconds of each repeat over the same `sentences`, which gave `tokens` target subwords."""

    sentences: int
    tokens: int
    seconds: tuple[float, ...]

    @property
    def sentences_per_second(self) -> float:
        """At the median of the repeats."""
        return self.sentences / statistics.median(self.seconds)

    @property
    def tokens_per_second(self) -> float:
        """Target subwords, at the median of the repeats."""
        return self.tokens / statistics.median(self.seconds)

    @property
    def sentences_per_second_range(self) -> tuple[float, float]:
        """Slowest and fastest repeat."""
        return self.sentences / max(self.seconds), self.sentences / min(self.seconds)


def time_systems(
    systems: Mapping[str, Callable[[], int]],
    *,
    sentences: int,
    repeats: int,
    done: Callable[[int], None],
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, Timing]:
    """Time each system `repeats` times, in turn (A B C A B C ...), after one unmeasured call of each.

    In turn, so that a machine that slows down or is shared slows all alike. A call translates all `sentences` and
    returns the number of target subwords. `done` gets the number of finished calls.
    """
    tokens: dict[str, int] = {}
    seconds: dict[str, list[float]] = {name: [] for name in systems}
    for round_number in range(repeats + 1):
        for position, (name, translate) in enumerate(systems.items()):
            started = clock()
            tokens[name] = translate()
            elapsed = clock() - started
            if round_number > 0:
                seconds[name].append(elapsed)
            done(round_number * len(systems) + position + 1)
    return {name: Timing(sentences, tokens[name], tuple(seconds[name])) for name in systems}
