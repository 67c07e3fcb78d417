"""One stage under way: which of its tasks are on the cluster, what came back, what failed."""

import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from data.store import ShardRecord
from pipeline.planning.plan import Step
from pipeline.running.stopwatch import Stopwatch
from pipeline.running.worker import Job, TaskError, TaskStoppedError, close_shards, run_shard, run_whole
from pipeline.terminal.progress import Display

if TYPE_CHECKING:
    from distributed import Future

# Seconds between two tries of a shard.
LONGEST_PAUSE = 60.0
# Puts a call on the cluster: function, arguments; the future's end comes back as an event.
Submit = Callable[..., "Future"]


@dataclass(frozen=True)
class Failure:
    """A task that was given up: which, why, and the traceback for who wants it. `stopped`: it was asked to end."""

    stage: str
    shard: str
    cause: str
    trace: str = ""
    stopped: bool = False

    def __str__(self) -> str:
        where = f"stage {self.stage}, shard {self.shard}" if self.shard else f"stage {self.stage}"
        return f"{where}: {self.cause}"


class WholeRun:
    """A whole stage: one task, tried once, for it may take hours and keeps what it has for the next run."""

    slots = 1

    def __init__(self, step: Step, job: Job, submit: Submit) -> None:
        self.step = step
        self.threads = job.threads
        self.failures: list[Failure] = []
        self.ended = False
        # Before any shard: a training takes longest, and all cores are shared with it anyway.
        self._future = submit(run_whole, job, priority=10)

    @property
    def stopped(self) -> bool:
        """Whether it ended because it was asked to."""
        return any(failure.stopped for failure in self.failures)

    def fill(self, window: int) -> None:
        """Nothing more to submit."""

    def pause(self) -> float | None:
        """There is nothing to try again."""

    def take(self, future: "Future", display: Display) -> None:
        """The task ended, well or not."""
        self.ended = True
        if failure := explain(self.step.node.name, "", future):
            self.failures.append(failure)


class ShardRun:
    """A shard stage: a bounded number of its shards on the cluster, failed ones again, and then its manifest."""

    threads = 0
    # One or two of its shards more do no harm.
    stopped = False

    def __init__(
        self,
        step: Step,
        job: Job,
        submit: Submit,
        retries: int,
        slots: int,
        *,
        first_pause: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`slots`: shards that are worked on at a time where the cluster has nothing else to do.

        `first_pause`: seconds before the second try of a shard; before each further one twice as many, up to a minute.
        """
        self.step, self.slots = step, slots
        self.failures: list[Failure] = []
        self.ended = False
        self._job = job
        self._submit = submit
        self._retries = retries
        self._waiting = deque(name for name in sorted(step.shards) if name not in step.finished)
        self._in_flight: dict[Future, str] = {}
        self._tries: Counter[str] = Counter()
        self._first_pause, self._clock = first_pause, clock
        # When a shard may be tried again, by its name.
        self._paused: dict[str, float] = {}
        # Dask blames every shard that stood with a worker when it died; alone, only the guilty one dies again.
        self._suspects: deque[str] = deque()
        self._alone: set[str] = set()
        self._closing = False
        self._meter = _Rows(sum(step.finished.values()), sum(step.shards.values()), Stopwatch(job.output))

    def fill(self, window: int) -> None:
        """Submits shards until `window` of them are on the cluster; the manifest when none is left."""
        self._wake()
        while self._waiting and len(self._in_flight) < window:
            shard = self._waiting.popleft()
            self._in_flight[self._submit(run_shard, self._job, shard)] = shard
        if self._paused:
            return
        if not self._waiting and not self._in_flight and self._suspects:
            shard = self._suspects.popleft()
            self._in_flight[self._submit(run_shard, self._job, shard)] = shard
        if not self._waiting and not self._in_flight and not self._closing:
            if self.failures:
                self.ended = True
                return
            self._closing = True
            close = self._submit(close_shards, self._job, sorted(self.step.shards), self._meter.seconds)
            self._in_flight[close] = ""

    def pause(self) -> float | None:
        """Seconds until something may be tried again; None where nothing waits for that."""
        return max(0.0, min(self._paused.values()) - self._clock()) if self._paused else None

    def _wake(self) -> None:
        """Shards whose pause is over wait for a worker again; the manifest, which has no name, needs no more."""
        now = self._clock()
        for shard in [shard for shard, until in self._paused.items() if until <= now]:
            del self._paused[shard]
            if shard:
                self._waiting.append(shard)

    def take(self, future: "Future", display: Display) -> None:
        """One task ended: count its rows, or try it again, or give it up."""
        shard = self._in_flight.pop(future)
        failure = explain(self.step.node.name, shard, future)
        if failure is None and shard:
            self._meter.add(future.result())
            display.update(self.step.node.name, self._meter.done, self._meter.total, self._meter.rates())
        elif failure is not None:
            self._failed(failure, future, display)
        self.ended = self._closing

    def _failed(self, failure: Failure, future: "Future", display: Display) -> None:
        shard = failure.shard
        self._tries[shard] += 1
        if is_retryable(future) and self._tries[shard] <= self._retries:
            pause = min(LONGEST_PAUSE, self._first_pause * 2 ** (self._tries[shard] - 1))
            display.note(f"{failure}; trying again in {pause:g} s ({self._tries[shard]} of {self._retries})")
            self._paused[shard] = self._clock() + pause
            if not shard:
                self._closing = False
        elif shard and was_killed(future) and shard not in self._alone:
            self._alone.add(shard)
            self._suspects.append(shard)
        else:
            display.note(str(failure))
            self.failures.append(failure)


class _Rows:
    """Rows and counters of the shards made by this run, and those that were there."""

    def __init__(self, found: int, total: int, watch: Stopwatch) -> None:
        self.done = found
        self.total = total
        self._made: Counter[str] = Counter()
        self._watch = watch

    def add(self, record: ShardRecord) -> None:
        self._watch.tick()
        self.done += record.rows
        self._made["rows"] += record.rows
        self._made["tokens"] += int(record.counters.get("tokens", 0))

    @property
    def seconds(self) -> float:
        return self._watch.seconds

    def rates(self) -> dict[str, float]:
        return {f"{name}_per_second": made / self._watch.of_this_call for name, made in self._made.items() if made}


def is_retryable(future: "Future") -> bool:
    """Whether a failed task may do better next time: not when the data, the model or the config is at fault."""
    error = future.exception()
    return isinstance(error, TaskError) and error.retryable


def was_killed(future: "Future") -> bool:
    """Whether a task was given up because workers died with it."""
    from distributed import KilledWorker

    return isinstance(future.exception(), KilledWorker)


def explain(stage: str, shard: str, future: "Future") -> Failure | None:
    """Why a task failed, for the reader; None when it did not."""
    from distributed import KilledWorker

    if future.status == "cancelled":
        return Failure(stage, shard, "the cluster lost it: scheduler or workers went away; run again to go on")
    error = future.exception()
    if error is None:
        return None
    if isinstance(error, TaskError):
        return Failure(stage, shard, error.cause, error.trace, stopped=isinstance(error, TaskStoppedError))
    if isinstance(error, KilledWorker):
        advice = "most likely memory ran out: try fewer --workers or smaller shards"
        return Failure(stage, shard, f"its worker process died each time it was tried; {advice}")
    return Failure(stage, shard, f"{type(error).__name__}: {error}")
