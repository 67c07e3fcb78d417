"""Noise of one row: which kind it has, what becomes of its source, and what its target follows in."""

import hashlib
import random
from typing import NamedTuple

from stages.noise.config import Config, Kind
from stages.noise.kept import same_placeholders
from stages.noise.letters import in_title_case, in_upper_case, without_diacritics
from stages.noise.marks import ends_with_a_mark, with_doubled_spaces, without_final_mark, without_punctuation
from stages.noise.typos import with_typos


class Noise(NamedTuple):
    """What a row drew, and its source with it; the same source where there is nothing to change."""

    kind: Kind
    source: str


def drawn_kind(row_id: str, config: Config) -> Kind | None:
    """The kind of noise that a row has by seed and id, None for none."""
    point, below = int.from_bytes(_hash(config.seed, row_id)[:8], "big") / 2.0**64, 0.0
    for kind, share in config.shares():
        below += share
        if point < below:
            return kind
    return None


def noise_of(row_id: str, source: str, language: str, config: Config) -> Noise | None:
    """What a row draws, None for nothing."""
    kind = drawn_kind(row_id, config)
    return Noise(kind, with_noise(source, kind, language, row_id, config.seed)) if kind else None


def with_noise(source: str, kind: Kind, language: str, row_id: str, seed: int) -> str:
    """A source with one kind of noise; as it was where that changes nothing, or would spoil a placeholder."""
    noisy = _written(source, kind, language, row_id, seed)
    return noisy if noisy.strip() and same_placeholders(source, noisy) else source


def followed(target: str, kind: str, language: str, source: str, noisy: str) -> str:
    """The translation of a clean source as that of the noisy one: in its case, and without a last mark that it lost.

    What else is noise, a translation has no part in. The same where a placeholder would be spoilt.
    """
    if noisy == source:
        return target
    if kind == "upper_case":
        found = in_upper_case(target, language)
    elif kind == "title_case":
        found = in_title_case(target, language)
    elif kind == "dropped_punctuation" and ends_with_a_mark(source) and not ends_with_a_mark(noisy):
        found = without_final_mark(target)
    else:
        return target
    return found if found.strip() and same_placeholders(target, found) else target


def _written(source: str, kind: Kind, language: str, row_id: str, seed: int) -> str:
    if kind == "upper_case":
        return in_upper_case(source, language)
    if kind == "title_case":
        return in_title_case(source, language)
    if kind == "dropped_punctuation":
        return without_punctuation(source)
    if kind == "missing_diacritics":
        return without_diacritics(source)
    # Of a generator's methods this one alone gives the same numbers in every version of Python.
    drawn = random.Random(int.from_bytes(_hash(seed, row_id)[8:], "big")).random  # noqa: S311
    return with_typos(source, language, drawn) if kind == "typos" else with_doubled_spaces(source, drawn)


def _hash(seed: int, row_id: str) -> bytes:
    return hashlib.blake2b(f"noise\x1f{seed}\x1f{row_id}".encode(), digest_size=16).digest()
