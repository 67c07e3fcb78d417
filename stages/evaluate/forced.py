"""Teacher forcing of the systems on the test set: what each gives to every token of a text that it is led along.

At every position, the end of the sentence included, a model's distribution over its vocabulary follows the tokens
before, and not what it would have said itself. All systems compute as they ship, int8 ones in int8.
"""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field

from data.errors import ModelError
from data.language_tags import Direction
from stages.evaluate.quality import Scoring
from stages.evaluate.resampling import ratio_interval
from stages.languages.directions import ANY, grouped
from stages.loaded_model.forced_logits import forced_logits
from stages.loaded_model.model import TargetVocabulary, token_batches
from stages.loaded_model.prompt import encode_sources
from stages.loaded_model.translate import TextTranslator
from stages.training.vocabulary import Vocabulary, student_ids

Array = npt.NDArray[np.float64]
Texts = Literal["reference", "teacher"]
TEACHER = "teacher"
# Numbers of one model's distributions that a thread works on at a time: 16 MiB in 64 bits.
_VALUES_AT_ONCE = 1 << 21
_BATCH_TOKENS = 512
# Lower logits are as good as impossible; minus infinity would make 0 times infinity of the divergence.
_LOWEST_LOGIT = -1.0e4


class Config(BaseModel):
    """Teacher-forced figures: token accuracy, cross-entropy, divergence from the teacher."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    on: tuple[Texts, ...] = Field(
        ("reference", "teacher"),
        description="what is forced: the references, the teacher's own translations, or both; [] leaves it out",
    )
    sentences: int = Field(
        1000, ge=1, description="test sentences, at most: each costs about what its greedy translation does, and V"
    )
    longest: int = Field(
        256,
        ge=1,
        le=4096,
        description="subwords of a sentence on either side; longer ones, and those that a system has too few positions "
        "for, are counted and left out",
    )


@dataclass(frozen=True)
class Pair:
    """Tokens of a source, with all that the model wants around them, and of the target that is forced."""

    source: tuple[str, ...]
    # Of the source's tokens, those around it not counted.
    source_length: int
    target: tuple[str, ...]


@dataclass(frozen=True)
class ForcedModel:
    """A system with all that is needed to force a target on it."""

    translator: TextTranslator
    vocabulary: TargetVocabulary

    def toward(self, direction: Direction) -> "ForcedModel":
        """The same as it is asked in one direction."""
        return replace(self, translator=self.translator.toward(direction))

    def is_tagged(self) -> bool:
        """Whether it must be told the direction."""
        return self.translator.info.is_tagged()

    def encode(self, sources: Sequence[str], targets: Sequence[str]) -> list[Pair]:
        """Subwords of each source, with all that belongs around them, and of its target."""
        asked, tokenizer = self.translator, self.translator.tokenizer
        (empty, *found) = encode_sources(["", *sources], tokenizer, asked.prompt)
        return [
            Pair((*asked.source_prefix, *source, *asked.source_suffix), len(source) - len(empty), tuple(target))
            for source, target in zip(found, tokenizer.encode_target(targets), strict=True)
        ]

    def holds(self, pair: Pair) -> bool:
        """Whether it has positions for all tokens of a pair."""
        around = len(self.translator.source_prefix) + len(self.translator.source_suffix)
        return self.translator.positions.hold(len(pair.source) - around, len(pair.target))

    def log_probs(self, pairs: Sequence[Pair]) -> Array:
        """[N, V]: natural log-probabilities at all positions of some pairs, row by row; N counts an end for each."""
        sources, targets = [pair.source for pair in pairs], [pair.target for pair in pairs]
        logits = forced_logits(self.translator.model, sources, targets, self.vocabulary.size).astype(np.float64)
        np.maximum(logits, _LOWEST_LOGIT, out=logits)
        logits -= logits.max(axis=1, keepdims=True)
        logits -= np.log(np.exp(logits).sum(axis=1, keepdims=True))
        return logits


@dataclass(frozen=True)
class Bridge:
    """Where the teacher's vocabulary lies in another system's: its ids there, [V of the teacher], or why nowhere."""

    ids: npt.NDArray[np.int32] | None
    reason: str = ""

    @classmethod
    def between(cls, teacher: ForcedModel, model: ForcedModel) -> "Bridge":
        """None where positions or tokens of the two are not the same."""
        if teacher.translator.tokenizer.digest() != model.translator.tokenizer.digest():
            return cls(None, "its tokenizer is not the teacher's, so that their positions are not the same")
        try:
            ids = student_ids(teacher.vocabulary.tokens, Vocabulary(model.vocabulary.tokens), teacher.vocabulary.end)
        except ModelError:
            return cls(None, "its vocabulary lacks tokens of the teacher's")
        return cls(ids)


@dataclass
class Tally:
    """One system's sums over the positions of each sentence, [sentences] each; the last two against the teacher."""

    positions: list[int] = field(default_factory=list)
    unknown: list[int] = field(default_factory=list)
    right: list[int] = field(default_factory=list)
    nats: list[float] = field(default_factory=list)
    kl: list[float] = field(default_factory=list)
    agreed: list[float] = field(default_factory=list)

    def add(self, other: "Tally") -> None:
        """The sentences of another tally, too."""
        for name, values in vars(other).items():
            getattr(self, name).extend(values)


def measure_forcing(
    models: Mapping[str, ForcedModel],
    sources: Sequence[str],
    targets: Sequence[str],
    config: Config,
    scoring: Scoring,
    threads: int,
    directions: Sequence[Direction] = (),
) -> dict[str, Any]:
    """What every system gives to the tokens of `targets`, and how far it is from the teacher while it does.

    {"sentences", "left_out", "systems": {role: token accuracy in percent with the counts behind it, cross-entropy in
    nats a position}, "against_teacher": {role: KL(teacher || system) in nats a position over the teacher's whole
    vocabulary, agreement of the most probable tokens in percent; or the reason why they cannot be had}}, with 95%
    intervals by bootstrap over sentences. `directions`: of each row, for models with language tags. Raises ModelError
    when a model cannot be forced.
    """
    teacher = models.get(TEACHER)
    others = {role: model for role, model in models.items() if teacher and role != TEACHER}
    bridges = {role: Bridge.between(models[TEACHER], model) for role, model in others.items()}
    tallies = {role: Tally() for role in models}
    tagged, forced = any(model.is_tagged() for model in models.values()), 0
    with ThreadPoolExecutor(threads) as pool:
        for direction, places in grouped(directions if tagged else [ANY] * len(sources)):
            asked = {role: model.toward(direction) for role, model in models.items()}
            texts = [[column[place] for place in places] for column in (sources, targets)]
            encoded = {role: model.encode(*texts) for role, model in asked.items()}
            rows = [
                row
                for row in range(len(places))
                if all(_fits(asked[role], pairs[row], config) for role, pairs in encoded.items())
            ]
            batches = _batches(rows, encoded, max(model.vocabulary.size for model in models.values()))
            for found in pool.map(partial(_force, asked, encoded, bridges), batches):
                for role, tally in found.items():
                    tallies[role].add(tally)
            forced += len(rows)
    return {
        "sentences": forced,
        "left_out": len(sources) - forced,
        "systems": {role: _alone(tally, scoring) for role, tally in tallies.items()},
        "against_teacher": {role: _apart(tallies[role], bridge, scoring) for role, bridge in bridges.items()},
    }


def _fits(model: ForcedModel, pair: Pair, config: Config) -> bool:
    within = 0 < pair.source_length <= config.longest and len(pair.target) < config.longest
    return within and model.holds(pair)


def _batches(rows: Sequence[int], encoded: Mapping[str, Sequence[Pair]], vocabulary_size: int) -> Iterator[list[int]]:
    """Of rows alike in length, so that few positions are searched for nothing."""
    sizes: dict[int, tuple[int, ...]] = {}
    for row in rows:
        lengths = [(len(pairs[row].target) + 1, len(pairs[row].source)) for pairs in encoded.values()]
        sizes[row] = (max(target for target, _ in lengths), max(source for _, source in lengths))
    most = max(min(_BATCH_TOKENS, _VALUES_AT_ONCE // vocabulary_size), 1)
    ordered = [sizes.get(row, (0,)) for row in range(max(rows, default=-1) + 1)]
    return token_batches(rows, ordered, most)


def _force(
    models: Mapping[str, ForcedModel],
    encoded: Mapping[str, Sequence[Pair]],
    bridges: Mapping[str, Bridge],
    rows: Sequence[int],
) -> dict[str, Tally]:
    """Tallies of one batch."""
    pairs = {role: [encoded[role][row] for row in rows] for role in models}
    log_probs = {role: model.log_probs(pairs[role]) for role, model in models.items()}
    found = {role: _tally(model, pairs[role], log_probs[role]) for role, model in models.items()}
    for role, bridge in bridges.items():
        if bridge.ids is not None:
            teacher, system, positions = log_probs[TEACHER], log_probs[role], np.array(found[role].positions)
            agreed = bridge.ids[teacher.argmax(axis=1)] == system.argmax(axis=1)
            kl = (np.exp(teacher) * (teacher - system[:, bridge.ids])).sum(axis=1)
            found[role].kl, found[role].agreed = _by_sentence(kl, positions), _by_sentence(agreed, positions)
    return found


def _tally(model: ForcedModel, pairs: Sequence[Pair], log_probs: Array) -> Tally:
    positions = np.array([len(pair.target) + 1 for pair in pairs])
    forced = np.array(model.vocabulary.forced_ids([pair.target for pair in pairs]))
    unknown = forced == model.vocabulary.ids[model.vocabulary.unknown]
    # What a model has no word for it cannot get right.
    right = (log_probs.argmax(axis=1) == forced) & ~unknown
    nats = -np.take_along_axis(log_probs, forced[:, None], axis=1)[:, 0]
    return Tally(
        positions=positions.tolist(),
        unknown=[int(number) for number in _by_sentence(unknown, positions)],
        right=[int(number) for number in _by_sentence(right, positions)],
        nats=_by_sentence(nats, positions),
    )


def _by_sentence(values: npt.NDArray[Any], lengths: npt.NDArray[np.int64]) -> list[float]:
    """Sums over each sentence's positions; `values` [N] of all sentences one after the other."""
    starts = np.cumsum(lengths) - lengths
    return [float(value) for value in np.add.reduceat(values.astype(np.float64), starts)]


def _alone(tally: Tally, scoring: Scoring) -> dict[str, Any]:
    positions, right = sum(tally.positions), sum(tally.right)
    return {
        "positions": positions,
        "right": right,
        "unknown": sum(tally.unknown),
        **_mean("accuracy", [100.0 * number for number in tally.right], tally.positions, scoring),
        **_mean("cross_entropy", tally.nats, tally.positions, scoring),
    }


def _apart(tally: Tally, bridge: Bridge, scoring: Scoring) -> dict[str, Any]:
    if bridge.ids is None:
        return {"reason": bridge.reason}
    return {
        "positions": sum(tally.positions),
        "agreed": int(sum(tally.agreed)),
        **_mean("agreement", [100.0 * number for number in tally.agreed], tally.positions, scoring),
        **_mean("kl", tally.kl, tally.positions, scoring),
    }


def _mean(name: str, sums: Sequence[float], sizes: Sequence[int], scoring: Scoring) -> dict[str, Any]:
    """A mean over positions, and its interval over sentences."""
    whole = sum(sizes)
    interval = ratio_interval(sums, sizes, scoring.samples, scoring.seed)
    return {name: sum(sums) / whole if whole else 0.0, f"{name}_interval": interval}
