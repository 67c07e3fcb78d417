"""What computes soft targets: the ways there are of it for a teacher, and the one that is kept with a run."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from data.errors import ModelError
from data.local import write_atomically
from data.model_folder import CHECKPOINT_FILE, TeacherInfo

FILE = "scorer.json"
Backend = Literal["auto", "ctranslate2", "torch"]
Precision = Literal["auto", "float32", "bfloat16"]
# Places among the rows, sorted by length, at each of which every way is tried, until time is up.
PLACES = (0.5, 0.25, 0.75, 0.125, 0.625, 0.375, 0.875)
# A way that is so much slower than the best is not tried again.
_TOO_SLOW = 1.5
# So near to the quickest is as quick: trials differ by as much on a machine that others use, too.
_AS_QUICK = 1.1


class Way(BaseModel):
    """A backend with its precision. No timing is in it: machines that choose the same make the same artefact."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    backend: Literal["ctranslate2", "torch"]
    precision: Literal["", "float32", "bfloat16"] = Field("", description="torch: of matrix products; else the model's")

    def __str__(self) -> str:
        return f"{self.backend} {self.precision}".rstrip()


CTRANSLATE2 = Way(backend="ctranslate2")


class Asked(NamedTuple):
    """The recipe's options that have a say."""

    backend: Backend
    precision: Precision


def ways_for(asked: Asked, folder: Path, info: TeacherInfo, device: str) -> list[Way]:
    """What is possible and wanted, the most exact first; raises ModelError when what is asked for is not possible.

    Torch has all positions of a sentence in one pass, where CTranslate2 goes step by step and hands every step's logits
    to the host: on a GPU that decides. On a CPU it hangs on the processor and the model which is the quicker one.
    """
    if info.architecture == "decoder-only":
        # Through CTranslate2, too, it has all positions in one pass, and its logits stay on the device.
        if asked.backend == "torch":
            raise ModelError("score.backend is torch, which scores no decoder-only teacher; set it to auto")
        return [CTRANSLATE2]
    available = (folder / CHECKPOINT_FILE).is_file()
    if asked.backend == "torch" and not available:
        raise ModelError(
            f"score.backend is torch, but {folder} holds no {CHECKPOINT_FILE}: this teacher has no OpenNMT-py "
            "checkpoint; set it to ctranslate2 or auto"
        )
    if asked.backend == "ctranslate2" or not available:
        return [CTRANSLATE2]
    bfloat16 = _bfloat16(asked.precision, device)
    # Whoever names a precision wants it, and only torch has it.
    if asked.backend == "torch" or asked.precision != "auto" or device == "cuda":
        return [Way(backend="torch", precision="bfloat16" if bfloat16 else "float32")]
    in_torch = [Way(backend="torch", precision="float32"), Way(backend="torch", precision="bfloat16")]
    return [*(in_torch if bfloat16 else in_torch[:1]), CTRANSLATE2]


def write_way(folder: Path, way: Way) -> None:
    """Leaves `scorer.json`."""
    write_atomically(folder / FILE, (way.model_dump_json(indent=1) + "\n").encode())


def read_way(folder: Path) -> Way:
    """What the stage scorer left; raises ModelError when it is not there or is something else."""
    try:
        return Way.model_validate_json((folder / FILE).read_bytes())
    except (OSError, ValidationError) as error:
        raise ModelError(f"{folder / FILE} cannot be read: {error}; run the stage scorer again") from error


def compare(
    ways: Sequence[Way], cost: Callable[[Way, float], float], seconds: float, clock: Callable[[], float]
) -> dict[Way, float]:
    """Mean cost a row of each way that is left in the end; begins nothing after so many seconds by the clock.

    `cost(way, place)` is in seconds a row, at a place between 0 and 1 among rows sorted by length. At a place all ways
    are tried, so that means compare like with like; the first place has them all, however long it takes.
    """
    end = clock() + seconds
    costs: dict[Way, list[float]] = {way: [] for way in ways}
    for place in PLACES:
        if place != PLACES[0] and (clock() >= end or len(costs) == 1):
            break
        for way, found in costs.items():
            found.append(cost(way, place))
        means = {way: sum(found) / len(found) for way, found in costs.items()}
        costs = {way: costs[way] for way, mean in means.items() if mean <= _TOO_SLOW * min(means.values())}
    return {way: sum(found) / len(found) for way, found in costs.items()}


def best(ways: Sequence[Way], costs: dict[Way, float]) -> Way:
    """The most exact of those that are as quick as the quickest, of ways from the most exact on."""
    quickest = min(costs.values(), default=0.0)
    return next((way for way in ways if way in costs and costs[way] <= _AS_QUICK * quickest), ways[0])


def _bfloat16(precision: Precision, device: str) -> bool:
    from stages.training.optimiser import use_bfloat16

    return use_bfloat16(precision, device)
