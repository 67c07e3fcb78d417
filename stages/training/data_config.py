"""What a student is trained on, as a recipe says it: one kind of data, or several with their shares."""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import AfterValidator

from stages.training.schedules import NonNegative, Value, always_zero

DataKind = Literal["hypothesis", "reference", "nbest"]
Shares = dict[DataKind, NonNegative]


def _some(shares: Shares) -> Shares:
    if all(always_zero(share) for share in shares.values()):
        raise ValueError("every share is 0: there is nothing to train on")
    return shares


Data = DataKind | Annotated[Shares, AfterValidator(_some)]


def shares_of(data: Data) -> Mapping[str, Value]:
    """The share of every kind; of one kind alone it is 1."""
    return {data: 1.0} if isinstance(data, str) else dict(data.items())


def kinds_of(data: Data) -> tuple[str, ...]:
    """The kinds that are used in some step."""
    return tuple(kind for kind, share in shares_of(data).items() if not always_zero(share))
