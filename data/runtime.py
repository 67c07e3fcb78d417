"""What a stage is told about the machine it runs on. Nothing here changes a result, so it is in no fingerprint."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

Progress = Callable[[int, int | None, Mapping[str, float]], None]
Validated = Callable[[int, Mapping[str, float]], None]


def silent(done: int, total: int | None, extras: Mapping[str, float]) -> None:
    """A `Progress` that says nothing."""


def unheard(step: int, figures: Mapping[str, float]) -> None:
    """A `Validated` that nobody listens to."""


@dataclass(frozen=True)
class Runtime:
    """What a call may use, and whom it tells how far it is.

    `threads` is the number of CPU threads of this call alone; `device` is "cpu" or "cuda";
    `progress(done, total, extras)` takes counts in the stage's own unit, `total` None when it is
    not known, and extras such as {"tokens_per_second": 812.5, "loss": 2.31}; `validated(step, figures)`
    takes what a training found on its validation set, such as {"valid_cross_entropy": 2.1}. Either may
    raise, which ends the call as a kill would.
    """

    threads: int = 1
    device: str = "cpu"
    progress: Progress = silent
    validated: Validated = unheard
