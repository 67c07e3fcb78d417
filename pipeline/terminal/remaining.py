"""How long a whole run will still take, told only when it is known well enough to be believed.

A training and a stage of many shards tell by their own speed, once they have shown it. What has not begun is told by
what it is expected to take, where that is known. While it is not, or too much hangs on it, nothing is told.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

# A speed is believed when it was seen for so long, over so much of the stage, in so many reports.
_SEEN_SECONDS, _SEEN_SHARE, _SEEN_REPORTS = 10.0, 0.03, 3
# By so much, either way, may be wrong what is not measured here; and the sum, when it is told.
_EXPECTED_WITHIN, _TOLD_WITHIN = 2.0, 1.5


@dataclass(frozen=True)
class Ahead:
    """A stage that is still to be run.

    `seconds` that it is expected to take, all of it, None where nobody knows: `measured` on this machine, or elsewhere,
    and then worth no more than its share of the whole.
    """

    after: tuple[str, ...] = ()  # those of the same run that it waits for
    seconds: float | None = None
    measured: bool = False
    steady: bool = False  # whether its units take equally long: rows in random order, steps of a training


@dataclass
class _Running:
    """What one stage has shown since it began."""

    began: float
    reports: int = 0
    # When the first report came, and what was done then: loading and warming up are not its speed.
    first: tuple[float, int] | None = None
    last: tuple[float, int] = (0.0, 0)
    total: int | None = None

    def report(self, done: int, total: int | None, now: float) -> None:
        self.first = self.first or (now, done)
        self.last, self.total, self.reports = (now, done), total, self.reports + 1

    def left(self, now: float) -> float | None:
        """Seconds by its own speed; None while that is not known."""
        if self.first is None or self.total is None or self.reports < _SEEN_REPORTS:
            return None
        seconds, made = self.last[0] - self.first[0], self.last[1] - self.first[1]
        if seconds < _SEEN_SECONDS or made < _SEEN_SHARE * self.total or made <= 0:
            return None
        return max((self.total - self.last[1]) * seconds / made - (now - self.last[0]), 0.0)


@dataclass
class Remaining:
    """Is told of the stages of a run what a display is told, and says how long all of them will still take."""

    # In an order in which each comes after those that it waits for.
    ahead: Mapping[str, Ahead] = field(default_factory=dict)
    _running: dict[str, _Running] = field(default_factory=dict)
    _took: dict[str, float] = field(default_factory=dict)

    def start(self, stage: str, now: float) -> None:
        """A stage begins."""
        self._running[stage] = _Running(now)

    def update(self, stage: str, done: int, total: int | None, now: float) -> None:
        """A stage went on."""
        self._running[stage].report(done, total, now)

    def finish(self, stage: str, now: float) -> None:
        """A stage ended."""
        self._took[stage] = now - self._running.pop(stage).began

    def seconds(self, now: float) -> float | None:
        """Until the last stage ends; None while that is not known.

        Stages that do not wait for each other overlap. What is no more than expected is as much slower or faster than
        expected as the run was so far; the sum is told where it stays near, be that factor wrong either way.
        """
        pace = self._pace(now)
        found = [self._whole(now, pace * wrong) for wrong in (1 / _EXPECTED_WITHIN, 1.0, _EXPECTED_WITHIN)]
        least, middle, most = (float("inf") if one is None else one for one in found)
        return middle if most <= _TOLD_WITHIN * middle <= _TOLD_WITHIN**2 * least < float("inf") else None

    def _whole(self, now: float, pace: float) -> float | None:
        """Seconds of the longest way to the end."""
        ends: dict[str, float] = {}
        for name, ahead in self.ahead.items():
            own = 0.0 if name in self._took else self._own(name, ahead, now, pace)
            if own is None:
                return None
            ends[name] = own + max((ends[other] for other in ahead.after if other in ends), default=0.0)
        return max(ends.values(), default=None)

    def _own(self, name: str, ahead: Ahead, now: float, pace: float) -> float | None:
        running = self._running.get(name)
        if running is not None and ahead.steady and (shown := running.left(now)) is not None:
            return shown
        if ahead.seconds is None or not (ahead.measured or pace):
            return None
        whole = ahead.seconds * (1.0 if ahead.measured else pace)
        return max(whole - (now - running.began if running else 0.0), 0.0)

    def _pace(self, now: float) -> float:
        """Seconds that stages took for one that was expected of them, those measured here left out; 0: not known."""
        pairs = list(self._expected_and_true(now))
        expected = sum(pair[0] for pair in pairs)
        return sum(pair[1] for pair in pairs) / expected if expected else 0.0

    def _expected_and_true(self, now: float) -> Iterator[tuple[float, float]]:
        for name, ahead in self.ahead.items():
            if ahead.seconds is None or ahead.measured:
                continue
            running = self._running.get(name)
            if name in self._took:
                yield ahead.seconds, self._took[name]
            elif running is not None and ahead.steady and (left := running.left(now)) is not None:
                yield ahead.seconds, now - running.began + left
