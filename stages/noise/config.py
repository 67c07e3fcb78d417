"""Which noise a corpus gets, how much of it, and who reads it."""

from collections.abc import Iterator
from typing import Literal, Self, get_args

from pydantic import BaseModel, ConfigDict, Field, model_validator

Kind = Literal["upper_case", "title_case", "typos", "dropped_punctuation", "missing_diacritics", "doubled_spaces"]
KINDS: tuple[Kind, ...] = get_args(Kind)
ReadBy = Literal["student", "teacher"]


def _share(description: str) -> float:
    share: float = Field(0.0, ge=0, le=1, allow_inf_nan=False, description=f"share of the training rows {description}")
    return share


class Config(BaseModel):
    """Training sources written anew; a row has one kind of noise or none, so that shares add up.

    Which rows, and what becomes of them, follows from the seed and a row's id alone. Placeholders, tags, links,
    addresses and code stay as they are. A row in which there is nothing to change, such as capitals in Chinese, stays
    as it is, and is counted so. Valid and test rows stay clean.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    read_by: ReadBy = Field(
        "student",
        description="who reads the noise: the student alone, which learns the translation of the clean source, or the "
        "teacher, too, which translates what is noisy",
    )
    seed: int = Field(1, ge=0, le=2**63 - 1, description="another seed gives other rows the noise")
    upper_case: float = _share("in capitals, the target as well")
    title_case: float = _share("With Every Word Capitalised, the target as well")
    typos: float = _share(
        "with one typo or more: a letter swapped, left out, doubled, or its neighbour on the keyboard"
    )
    dropped_punctuation: float = _share(
        "without commas, full stops and the like; a target loses its last where its source did"
    )
    missing_diacritics: float = _share("without accents and the like, of Latin, Greek, Hebrew and Arabic letters")
    doubled_spaces: float = _share("with two spaces where there was one; SentencePiece models fold them by default")

    @model_validator(mode="after")
    def _check(self) -> Self:
        shares = dict(self.shares())
        total = sum(shares.values())
        if not shares:
            raise ValueError(f"no kind has a share; give one of {', '.join(KINDS)}, or leave [corpus.noise] out")
        if total > 1 + 1e-9:
            found = " + ".join(f"{share:g}" for share in shares.values())
            raise ValueError(
                f"{', '.join(shares)}: shares of {found} = {total:g}; a row has one kind of noise at most, so together "
                "they are at most 1"
            )
        return self

    def shares(self) -> Iterator[tuple[Kind, float]]:
        """Kinds with a share, in their order."""
        yield from ((kind, getattr(self, kind)) for kind in KINDS if getattr(self, kind))
