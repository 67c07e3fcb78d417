"""What noise costs: test sentences with each of the corpus's kinds, beside the same ones without."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field

from data.artifact import Artifact
from stages.evaluate.quality import Scoring, score_systems
from stages.evaluate.systems import Sentences, System
from stages.languages.directions import directions_of
from stages.noise.config import Config as CorpusNoise
from stages.noise.config import Kind
from stages.noise.rows import drawn_kind, followed, with_noise

NOISED = "noised-00000"
ALL = "all"
_METRICS = ("bleu", "chrf")


class Config(BaseModel):
    """Test sentences with the kinds of noise that the corpus has; without [corpus.noise] there are none."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    sentences: int = Field(
        500, ge=0, description="test sentences that get each kind, at most; every system translates them; 0: none"
    )
    seed: int = Field(12345, ge=0, le=2**63 - 1, description="seed of the noise")


@dataclass(frozen=True)
class _Noised:
    """Of some sentences, by their places in the test set, sources, references and translations with noise."""

    places: Sequence[int]
    sources: Sequence[str]
    references: Sequence[str]
    lines: Mapping[str, Sequence[str]]


@dataclass(frozen=True)
class _Clean:
    """The test set."""

    rows: pa.Table
    translated: Mapping[str, Sequence[str]]

    def column(self, name: str, places: Sequence[int]) -> list[Any]:
        """Values at some places."""
        found: list[Any] = self.rows[name].take(pa.array(places, pa.int64())).to_pylist()
        return found


def look_at_noise(
    corpus: Artifact,
    rows: pa.Table,
    translated: Mapping[str, Sequence[str]],
    systems: Mapping[str, System],
    config: Any,
    scoring: Scoring,
    output: Artifact,
) -> dict[str, Any]:
    """{"noise": ...} where the corpus has some, else nothing; translations go to the shard NOISED.

    "sets" has each kind, and `all`, in which a sentence has one kind, drawn as training rows draw theirs, but with
    shares that add up to 1: {"kind", "sentences": those that it changed (in `all`: all of them), "systems": {name:
    {"noised": scores, "clean": scores of the same sentences without}}}. In capitals, title case and without a last mark
    the reference follows, as the target does in training. `config`: with `noise` and `batch_tokens`.
    """
    noise = corpus.manifest().config.get("noise")
    if not noise or not config.noise.sentences:
        return {}
    shares, own = CorpusNoise.model_validate(noise), config.noise
    clean = _Clean(rows, {name: translated[name] for name in systems})
    # Ids are hashes: the first of them are a sample.
    sample = np.argsort(np.array(rows["id"].to_pylist()), kind="stable")[: own.sentences].tolist()
    found = {kind: _noised(clean, sample, kind, systems, config) for kind, _ in shares.shares()}
    sets = [_scored(kind, clean, one, scoring) for kind, one in found.items()]
    if sum(one["sentences"] > 0 for one in sets) > 1:
        sets.append(_scored(ALL, clean, _mixed(clean, sample, found, shares, own.seed), scoring))
    output.write_shard(NOISED, _table(clean, found))
    return {"noise": {"seed": own.seed, "read_by": shares.read_by, "asked": len(sample), "sets": sets}}


def _noised(clean: _Clean, sample: Sequence[int], kind: Kind, systems: Mapping[str, System], config: Any) -> _Noised:
    """Those of the sample that the kind changes, as the systems translate them."""
    columns = (clean.column(name, sample) for name in ("id", "source", "source_language"))
    written = [
        (place, source, with_noise(source, kind, language, row_id, config.noise.seed))
        for place, row_id, source, language in zip(sample, *columns, strict=True)
    ]
    changed = [(place, source, noisy) for place, source, noisy in written if noisy != source]
    places = [place for place, _, _ in changed]
    pairs = zip(changed, clean.column("reference", places), clean.column("target_language", places), strict=True)
    references = [
        followed(reference, kind, language, source, noisy) for (_, source, noisy), reference, language in pairs
    ]
    sources = [noisy for _, _, noisy in changed]
    sentences = Sentences(sources, directions_of(clean.rows.take(pa.array(places, pa.int64()))))
    lines = {name: system.translate(sentences, config.batch_tokens)[0] for name, system in systems.items() if places}
    return _Noised(places, sources, references, lines)


def _mixed(
    clean: _Clean, sample: Sequence[int], found: Mapping[Kind, _Noised], noise: CorpusNoise, seed: int
) -> _Noised:
    """The whole sample, each sentence with one kind, or clean where the kind that it draws changes nothing."""
    total = sum(share for _, share in noise.shares())
    shares: dict[str, Any] = {kind: share / total for kind, share in noise.shares()}
    whole = noise.model_copy(update={**shares, "seed": seed})
    references, lines = clean.column("reference", sample), {name: list[str]() for name in clean.translated}
    sources = clean.column("source", sample)
    numbers = {kind: {place: number for number, place in enumerate(one.places)} for kind, one in found.items()}
    for at, (place, row_id) in enumerate(zip(sample, clean.column("id", sample), strict=True)):
        kind = drawn_kind(row_id, whole)
        number = numbers[kind].get(place, -1) if kind else -1
        one = found[kind] if kind and number >= 0 else None
        if one:
            references[at], sources[at] = one.references[number], one.sources[number]
        for name, translations in lines.items():
            translations.append(one.lines[name][number] if one else clean.translated[name][place])
    return _Noised(sample, sources, references, lines)


def _scored(kind: str, clean: _Clean, noised: _Noised, scoring: Scoring) -> dict[str, Any]:
    told: dict[str, Any] = {"kind": kind, "sentences": len(noised.places), "systems": {}}
    if not noised.places:
        return told
    same = {name: [lines[place] for place in noised.places] for name, lines in clean.translated.items()}
    scores = {
        "noised": score_systems(noised.lines, noised.references, scoring, _METRICS),
        "clean": score_systems(same, clean.column("reference", noised.places), scoring, _METRICS),
    }
    told["systems"] = {name: {how: one[name] for how, one in scores.items()} for name in clean.translated}
    return told


def _table(clean: _Clean, found: Mapping[Kind, _Noised]) -> pa.Table:
    """Rows of all kinds: what was translated, what it is scored against, and the translations."""
    parts = []
    for kind, one in found.items():
        kept = {name: clean.column(name, one.places) for name in ("id", "source_language", "target_language")}
        texts = {"kind": [kind] * len(one.places), "source": one.sources, "reference": one.references}
        lines = {name: one.lines.get(name, []) for name in clean.translated}
        columns = {**kept, **texts, **lines}
        parts.append(pa.table({name: pa.array(values, pa.string()) for name, values in columns.items()}))
    return pa.concat_tables(parts).combine_chunks()
