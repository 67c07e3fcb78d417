"""How large a batch should be: what is fastest with this model, on this machine, for sentences of these lengths.

Small batches stay in a CPU's cache, large ones fill a GPU, and where the best lies differs by model by a factor of ten.
"""

import math
import time
from bisect import bisect_right
from collections.abc import Callable, Sequence
from itertools import accumulate
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from data.errors import ModelError
from data.local import write_atomically
from stages.beam_search.batches import is_out_of_memory
from stages.beam_search.search import Search
from stages.loaded_model.model import token_batches

FILE = "calibration.json"
CANDIDATES = {
    "cpu": (64, 128, 256, 512, 1024, 2048, 4096),
    "cuda": (2048, 4096, 8192, 16384, 32768, 65536, 131072),
}
# Where nothing could be measured.
USUAL = {"cpu": 512, "cuda": 16384}
# Places among the rows, sorted by length, from each of which every candidate takes a batch, until time is up.
_PLACES = tuple(int(f"{number:04b}"[::-1], 2) / 16 for number in range(1, 16))
# A candidate that is so much slower than the best is not tried again: at the first places, and when more are known.
_TOO_SLOW, _SLOWER = 1.25, 1.1
# A fast model has shown enough after this share of the time; at so few places a slow one has shown next to nothing.
_ENOUGH, _LEAST_PLACES = 0.5, 3
# Less says little: batches of a fast model end within hundredths, in which Python begins and ends the next.
_LEAST_SECONDS, _MOST_TIMES = 0.25, 100


class Calibration(BaseModel):
    """What decode reads: no timing is in it, so that machines that come to the same choice make the same artefact."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    max_batch_tokens: int = Field(description="source tokens of a batch, padding counts", ge=1)


def write_calibration(folder: Path, calibration: Calibration) -> None:
    """Leaves `calibration.json`."""
    write_atomically(folder / FILE, (calibration.model_dump_json(indent=1) + "\n").encode())


def read_calibration(folder: Path) -> Calibration:
    """What the stage calibrate left; raises ModelError when it is not there or is something else."""
    try:
        return Calibration.model_validate_json((folder / FILE).read_bytes())
    except (OSError, ValidationError) as error:
        raise ModelError(f"{folder / FILE} cannot be read: {error}; run the stage calibrate again") from error


def compare(
    candidates: Sequence[int],
    cost: Callable[[int, float], float | None],
    seconds: float,
    clock: Callable[[], float] = time.monotonic,
) -> dict[int, float]:
    """Mean cost a row of each candidate that is left in the end; at least one was tried.

    Takes about so many seconds at most, and half of them where that was enough for some places.

    `candidates` rise. `cost(candidate, place)` is in seconds a row, at a place between 0 and 1 among rows sorted by
    length; None where memory ran out. A place is tried with all candidates, so that means compare like with like.
    """
    started = clock()
    end, enough = started + seconds, started + _ENOUGH * seconds
    costs: dict[int, list[float]] = {}
    left = list(candidates)
    for number, place in enumerate(_PLACES):
        if number >= _LEAST_PLACES and clock() >= enough:
            break
        for candidate in list(left):
            if costs and clock() >= end:
                return _means(costs)
            found = cost(candidate, place)
            if found is None:
                left = left[: left.index(candidate)]
                break
            costs.setdefault(candidate, []).append(found)
            if place == _PLACES[0] and found > _TOO_SLOW * min(values[0] for values in costs.values()):
                break
        means = _means({candidate: costs[candidate] for candidate in left if candidate in costs})
        limit = _TOO_SLOW if number < _LEAST_PLACES else _SLOWER
        left = [candidate for candidate in means if means[candidate] <= limit * min(means.values())]
        costs = {candidate: costs[candidate] for candidate in left}
    return _means(costs)


def _means(costs: dict[int, list[float]]) -> dict[int, float]:
    """Over the places that all candidates have in common."""
    places = min((len(values) for values in costs.values()), default=0)
    return {candidate: sum(values[:places]) / places for candidate, values in costs.items()}


class Trial:
    """Real sentences, sorted by length as decode sorts those of a shard, and what a batch of them costs."""

    def __init__(
        self,
        sources: Sequence[Sequence[str]],
        search: Search,
        replicas: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`replicas`: batches that the search's model works on at a time, as worker processes would."""
        self._sources, self._search, self._replicas, self._clock = sources, search, replicas, clock
        self._sizes = [(len(tokens),) for tokens in sources]
        self._rows = [row for row, (size,) in enumerate(self._sizes) if search.takes(size)]

    def candidates(self, device: str) -> list[int]:
        """Those for the device, up to the first of which one batch takes all rows; none without rows."""
        found: list[int] = []
        for tokens in CANDIDATES[device] if self._rows else ():
            found.append(tokens)
            if len(self._batches(tokens)) == 1:
                break
        return found

    def warm_up(self) -> None:
        """The first batch of a model is slow: memory is fetched, kernels are chosen."""
        self._timed([self._batches(1)[-1]] * self._replicas)

    def cost(self, tokens: int, place: float) -> float | None:
        """Seconds a row around the row at a place, in batches of so many tokens; None when memory runs out.

        One batch for every replica, and where that takes next to no time as many as take long enough to be compared,
        all in the model's queue, as decode has them.
        """
        batches = self._batches(tokens)
        ends = list(accumulate(len(batch) for batch in batches))
        middle = bisect_right(ends, int(place * (ends[-1] - 1)))
        try:
            rows, seconds = self._timed(_around(batches, middle, self._replicas))
            if seconds < _LEAST_SECONDS:
                times = math.ceil(_LEAST_SECONDS / max(seconds, _LEAST_SECONDS / _MOST_TIMES))
                rows, seconds = self._timed(_around(batches, middle, times * self._replicas))
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            return None
        return seconds / rows

    def _timed(self, batches: Sequence[Sequence[int]]) -> tuple[int, float]:
        """Rows, and seconds from the first batch's beginning to the last one's end."""
        started = self._clock()
        for wait in [self._search.start([self._sources[row] for row in batch]) for batch in batches]:
            wait()
        return sum(len(batch) for batch in batches), self._clock() - started

    def _batches(self, tokens: int) -> list[list[int]]:
        return list(token_batches(self._rows, self._sizes, tokens))


def _around(batches: Sequence[list[int]], middle: int, count: int) -> list[list[int]]:
    """So many batches that lie next to each other, again from the first of them where there are fewer."""
    first = max(min(middle - count // 2, len(batches) - count), 0)
    near = batches[first : first + count]
    return [near[number % len(near)] for number in range(count)]
