"""Beam search of one batch: what the teacher is asked, and what its answer means."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from stages.decoding.config import Config
from stages.teacher_model import TeacherModel

if TYPE_CHECKING:
    from ctranslate2 import TranslationResult


@dataclass(frozen=True)
class Hypothesis:
    """One entry of an n-best list; see `data.schema.HYPOTHESIS`."""

    tokens: list[str]
    score: float


@dataclass(frozen=True)
class Search:
    """A teacher and how it searches. Several processes and threads may use one."""

    teacher: TeacherModel
    config: Config

    def start(self, sources: Sequence[Sequence[str]]) -> Callable[[], list[list[Hypothesis]]]:
        """Begins the search of a batch and returns at once; the call that it returns waits for the n-best lists."""
        prefix = list(self.teacher.info.target_prefix)
        started = self.teacher.translator.translate_batch(
            self.teacher.sources(sources),
            target_prefix=[prefix] * len(sources) if prefix else None,
            beam_size=self.config.beam_size,
            num_hypotheses=self.config.num_hypotheses,
            length_penalty=self.config.length_penalty,
            max_input_length=0,
            max_decoding_length=self.longest_target(),
            return_scores=True,
            replace_unknowns=False,
            use_vmap=self.config.shortlist > 0,
            asynchronous=True,
        )
        return lambda: [self._hypotheses(one.result(), len(prefix)) for one in started]

    def longest_source(self) -> int:
        """Subwords of the longest source that is translated."""
        return min(self.config.max_source_tokens, self.teacher.longest_source or self.config.max_source_tokens)

    def longest_target(self) -> int:
        """Target tokens after which a hypothesis is cut off, its prefix counted."""
        return min(self.config.max_decoding_length, self.teacher.longest_target or self.config.max_decoding_length)

    def _hypotheses(self, result: "TranslationResult", prefix_length: int) -> list[Hypothesis]:
        hypotheses = [
            Hypothesis(tokens[prefix_length:], self._own_score(score, len(tokens), prefix_length))
            for tokens, score in zip(result.hypotheses, result.scores, strict=True)
        ]
        return sorted(hypotheses, key=lambda hypothesis: -hypothesis.score)

    def _own_score(self, score: float, length: int, prefix_length: int) -> float:
        """CTranslate2 divides by a length that counts the prefix, of which the sum of log-probabilities has none."""
        if not prefix_length:
            return score
        positions = length if length >= self.longest_target() else length + 1
        return score * math.pow(positions / max(positions - prefix_length, 1), self.config.length_penalty)
