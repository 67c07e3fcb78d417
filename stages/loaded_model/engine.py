"""A loaded CTranslate2 model, asked for translations in the same way whether it translates or continues text."""

import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from data.model_folder import TeacherInfo, read_vocabulary, special_token, starts_with_prefix
from stages.loaded_model.cuda_libraries import load_cuda_libraries

if TYPE_CHECKING:
    from ctranslate2 import GenerationResult, Generator, TranslationResult, Translator


# Tokens at the beginning of several prompts; fewer would cost a pass of their own for nothing.
_WORTH_SHARING = 8


@dataclass(frozen=True)
class Hypothesis:
    """One entry of an n-best list; see `data.schema.HYPOTHESIS`. The score is 0 where none was asked for."""

    tokens: list[str]
    score: float


@dataclass(frozen=True)
class SearchOptions:
    """How translations are searched. Nothing is sampled."""

    beam_size: int
    num_hypotheses: int = 1
    # Scores are divided by length to this power.
    length_penalty: float = 1.0
    # Tokens after which a translation is cut off, its prefix counted.
    longest_target: int = 256
    # Source tokens that are searched at a time; 0 takes all sources together.
    batch_tokens: int = 0
    scores: bool = True
    shortlist: bool = False
    # Never <unk>; otherwise unknown words are left as the model made them.
    disable_unk: bool = False


class Engine(Protocol):
    """A model on its device. Several threads may use one."""

    @property
    def device(self) -> str:
        """CTranslate2's name of it: cpu or cuda."""

    @property
    def compute_type(self) -> str:
        """What it computes with, by CTranslate2's name."""

    @property
    def replicas(self) -> int:
        """Batches that it works on at a time."""

    @property
    def prefix_tokens(self) -> int:
        """Tokens that every target is given before its own, and that count in its length."""

    def start(self, sources: Sequence[Sequence[str]], options: SearchOptions) -> Callable[[], list[list[Hypothesis]]]:
        """Begins to search and returns at once; the call that it returns waits for the n-best lists, best first.

        `sources` are tokens with all that the model wants around them.
        """


@dataclass(frozen=True)
class TranslatorEngine:
    """An encoder-decoder model."""

    translator: "Translator"
    # Tokens that every target begins with, and that are no part of it.
    target_prefix: tuple[str, ...] = ()
    # Of a model without a start of its own, such as mBART-25: the first of them is what its decoder starts with, which
    # CTranslate2 neither returns nor counts.
    prefix_starts: bool = False

    @property
    def device(self) -> str:
        """Where it is."""
        return str(self.translator.device)

    @property
    def compute_type(self) -> str:
        """What it computes with."""
        return str(self.translator.compute_type)

    @property
    def replicas(self) -> int:
        """Batches at a time."""
        return int(self.translator.num_translators)

    @property
    def prefix_tokens(self) -> int:
        """Tokens of the prefix that results have."""
        return max(len(self.target_prefix) - self.prefix_starts, 0)

    def start(self, sources: Sequence[Sequence[str]], options: SearchOptions) -> Callable[[], list[list[Hypothesis]]]:
        """As Engine says."""
        prefix = list(self.target_prefix)
        started = self.translator.translate_batch(
            list(sources),
            target_prefix=[prefix] * len(sources) if prefix else None,
            beam_size=options.beam_size,
            num_hypotheses=options.num_hypotheses,
            length_penalty=options.length_penalty,
            max_batch_size=options.batch_tokens,
            batch_type="tokens",
            max_input_length=0,  # never cut off here: what stands after a source would go
            max_decoding_length=options.longest_target,
            return_scores=options.scores,
            replace_unknowns=False,
            use_vmap=options.shortlist,
            disable_unk=options.disable_unk,
            asynchronous=True,
        )
        return lambda: [self._hypotheses(one.result(), options) for one in started]

    def _hypotheses(self, result: "TranslationResult", options: SearchOptions) -> list[Hypothesis]:
        scores = result.scores or [0.0] * len(result.hypotheses)
        hypotheses = [
            Hypothesis(tokens[self.prefix_tokens :], self._own_score(score, len(tokens), options))
            for tokens, score in zip(result.hypotheses, scores, strict=True)
        ]
        return sorted(hypotheses, key=lambda hypothesis: -hypothesis.score)

    def _own_score(self, score: float, length: int, options: SearchOptions) -> float:
        """CTranslate2 divides by a length that counts the prefix, of which the sum of log-probabilities has none."""
        if not self.prefix_tokens:
            return score
        positions = length if length >= options.longest_target else length + 1
        return score * math.pow(positions / max(positions - self.prefix_tokens, 1), options.length_penalty)


@dataclass(frozen=True)
class GeneratorEngine:
    """A decoder-only model: a source is a prompt, and its translation is what the model says next."""

    generator: "Generator"
    # Each of them ends a translation; the model's own end where there are none.
    end_tokens: tuple[str, ...] = ()

    @property
    def device(self) -> str:
        """Where it is."""
        return str(self.generator.device)

    @property
    def compute_type(self) -> str:
        """What it computes with."""
        return str(self.generator.compute_type)

    @property
    def replicas(self) -> int:
        """Batches at a time."""
        return int(self.generator.num_generators)

    @property
    def prefix_tokens(self) -> int:
        """None: a prompt is no part of a target."""
        return 0

    def start(self, sources: Sequence[Sequence[str]], options: SearchOptions) -> Callable[[], list[list[Hypothesis]]]:
        """As Engine says; prompts are never cut off.

        Those of one length are searched together. Of a longer one CTranslate2 would force the rest token by token
        while others are at their translation already, and takes the end from the wrong beams meanwhile.
        """
        alike: dict[int, list[int]] = defaultdict(list)
        for row, tokens in enumerate(sources):
            alike[len(tokens)].append(row)
        started: dict[int, Any] = {}
        for rows in alike.values():
            parts = self._generate([list(sources[row]) for row in rows], options)
            started.update(zip(rows, parts, strict=True))
        return lambda: [self._hypotheses(started[row].result()) for row in range(len(sources))]

    def _generate(self, prompts: list[list[str]], options: SearchOptions) -> list[Any]:
        """Begins to search prompts of one length."""
        shared = _shared(prompts)
        return self.generator.generate_batch(  # type: ignore[no-any-return]
            [prompt[shared:] for prompt in prompts],
            static_prompt=prompts[0][:shared] or None,
            # What CTranslate2 caches it keeps for ever.
            cache_static_prompt=False,
            beam_size=options.beam_size,
            num_hypotheses=options.num_hypotheses,
            length_penalty=options.length_penalty,
            max_batch_size=options.batch_tokens,
            batch_type="tokens",
            max_length=options.longest_target,
            # As a translation has.
            min_length=1,
            include_prompt_in_result=False,
            end_token=list(self.end_tokens) or None,
            disable_unk=options.disable_unk,
            return_scores=options.scores,
            asynchronous=True,
        )

    def _hypotheses(self, result: "GenerationResult") -> list[Hypothesis]:
        scores = result.scores or [0.0] * len(result.sequences)
        hypotheses = [Hypothesis(tokens, score) for tokens, score in zip(result.sequences, scores, strict=True)]
        return sorted(hypotheses, key=lambda hypothesis: -hypothesis.score)


def _shared(prompts: Sequence[list[str]]) -> int:
    """Tokens that all of several prompts of one length begin with, such as examples: they are read once for all.

    None where that saves next to nothing; a prompt keeps two of its own, as one alone CTranslate2 would return.
    """
    first, last = min(prompts), max(prompts)
    pairs = enumerate(zip(first, last, strict=True))
    shared = min(next((place for place, (one, other) in pairs if one != other), len(first)), len(first) - 2)
    return shared if shared >= _WORTH_SHARING and len(prompts) > 1 else 0


def with_target_prefix(engine: Engine, target_prefix: tuple[str, ...]) -> Engine:
    """The same loaded model with other tokens that every target begins with; a decoder-only one has none."""
    return replace(engine, target_prefix=target_prefix) if isinstance(engine, TranslatorEngine) else engine


def open_engine(
    path: Path, info: TeacherInfo, *, device: str, compute_type: str, replicas: int, threads: int
) -> Engine:
    """The model in a folder, `threads` for each of the batches it works on at a time (0: CTranslate2's choice).

    Raises RuntimeError or ValueError, as CTranslate2 does, when it cannot be loaded.
    """
    import ctranslate2

    if device == "cuda":
        load_cuda_libraries()
    layout = {"device": device, "compute_type": compute_type, "inter_threads": replicas, "intra_threads": threads}
    if info.architecture == "decoder-only":
        # Prompts are searched length by length: more batches wait in its queue than it has room for by itself.
        return GeneratorEngine(ctranslate2.Generator(str(path), max_queued_batches=-1, **layout), _ends(path, info))
    translator = ctranslate2.Translator(str(path), **layout)
    return TranslatorEngine(translator, info.target_prefix, prefix_starts=starts_with_prefix(path))


def _ends(path: Path, info: TeacherInfo) -> tuple[str, ...]:
    """What is said to end a translation, and what the model learned to end everything with."""
    if not info.end_token:
        return ()
    known, own = set(read_vocabulary(path, "target")), special_token(path, "eos_token")
    return tuple(dict.fromkeys(token for token in (info.end_token, own) if token in known))
