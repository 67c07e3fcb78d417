"""What bench.decode holds our stage against: the loop of other pipelines, and the least that decoding can take.

All get the same model, sources, beam and n-best. Models are loaded and warm before any clock runs.
"""

import multiprocessing
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.managers import BaseManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.environment import environment
from bench.fixtures import Fixture
from stages.decode import stage as decode

PEER_BATCH_TOKENS = 5000
LIMIT_BATCH_TOKENS = (128, 256, 512, 1024, 2048)
_WARM_UP_ROWS = 8


@dataclass(frozen=True)
class Peer:
    """`translate_iterable` over a text file in its order, n-best written as text, as Mozilla's pipeline does."""

    fixture: Fixture
    config: decode.Config
    translator: Any
    lines: Path
    output: Path

    def run(self) -> None:
        """Decodes the file."""
        encode, decode_pieces = _subwords(self.fixture.tokenizer())
        with self.lines.open(encoding="utf-8") as source, self.output.open("w", encoding="utf-8") as target:
            results = self.translator.translate_iterable(
                (encode(line.rstrip("\n")) for line in source),
                max_batch_size=PEER_BATCH_TOKENS,
                batch_type="tokens",
                **search_options(self.config),
            )
            for number, result in enumerate(results):
                for pieces, score in zip(result.hypotheses, result.scores, strict=True):
                    target.write(f"{number} ||| {decode_pieces(pieces)} ||| {score}\n")


@dataclass(frozen=True)
class Limit:
    """One `translate_batch` over everything, tokenised and sorted beforehand; nothing is read or written."""

    config: decode.Config
    translator: Any
    sources: list[list[str]]

    def facts(self) -> dict[str, int]:
        """How much there is."""
        return {"rows": len(self.sources), "source_tokens": sum(len(source) for source in self.sources)}

    def run(self, batch_tokens: int, rows: int | None = None) -> None:
        """Decodes all rows, or an even sample of so many."""
        chosen = self.sources[:: max(len(self.sources) // rows, 1)] if rows else self.sources
        self.translator.translate_batch(
            chosen, max_batch_size=batch_tokens, batch_type="tokens", **search_options(self.config)
        )


class Elsewhere(BaseManager):
    """A process with contenders in it: CTranslate2 looks at its environment once, when it is first used."""

    if TYPE_CHECKING:

        def peer(self, fixture: Fixture, config: decode.Config, folder: Path, options: dict[str, Any]) -> Peer:
            """See `make_peer`."""

        def limit(self, fixture: Fixture, config: decode.Config, options: dict[str, Any]) -> Limit:
            """See `make_limit`."""


@contextmanager
def elsewhere(variables: Mapping[str, str]) -> Iterator[Elsewhere]:
    """A process with these environment variables; the caller's say nothing there of threads and instructions."""
    Elsewhere.register("peer", make_peer)
    Elsewhere.register("limit", make_limit)
    manager = Elsewhere(ctx=multiprocessing.get_context("spawn"))
    with environment(variables):
        manager.start()
    try:
        yield manager
    finally:
        manager.shutdown()


def make_peer(fixture: Fixture, config: decode.Config, folder: Path, options: dict[str, Any]) -> Peer:
    """A peer whose translator has these options, and all other options are CTranslate2's defaults."""
    lines = folder / "source.txt"
    lines.write_text("".join(f"{text}\n" for text in fixture.table()["source"].to_pylist()), encoding="utf-8")
    peer = Peer(fixture, config, _translator(fixture, options), lines, folder / "nbest.txt")
    _use_once(peer.translator, fixture, config)
    return peer


def make_limit(fixture: Fixture, config: decode.Config, options: dict[str, Any]) -> Limit:
    """The limit with these options of the translator."""
    encode, _ = _subwords(fixture.tokenizer())
    sources = sorted((encode(text) for text in fixture.table()["source"].to_pylist()), key=len, reverse=True)
    limit = Limit(config, _translator(fixture, options), sources)
    _use_once(limit.translator, fixture, config)
    return limit


def search_options(config: decode.Config) -> dict[str, Any]:
    """What all contenders ask of CTranslate2."""
    return {
        "beam_size": config.beam_size,
        "num_hypotheses": config.num_hypotheses,
        "length_penalty": config.length_penalty,
        "max_decoding_length": config.max_decoding_length,
        "return_scores": True,
    }


def read_text_nbest(path: Path) -> Iterator[tuple[int, str, float]]:
    """What a peer wrote: number of the line, text, score."""
    for line in path.read_text(encoding="utf-8").splitlines():
        number, text, score = line.split(" ||| ")
        yield int(number), text, float(score)


def _translator(fixture: Fixture, options: dict[str, Any]) -> Any:
    import ctranslate2

    return ctranslate2.Translator(str(fixture.teacher()), device="cpu", **options)


def _use_once(translator: Any, fixture: Fixture, config: decode.Config) -> None:
    encode, _ = _subwords(fixture.tokenizer())
    texts = fixture.table()["source"].slice(0, _WARM_UP_ROWS).to_pylist()
    for _ in range(translator.num_translators):
        translator.translate_batch([encode(text) for text in texts], **search_options(config))


def _subwords(folder: Path) -> tuple[Callable[[str], list[str]], Callable[[list[str]], str]]:
    """Text to subwords and back, one at a time, by SentencePiece itself; words where there is no model."""
    if not (folder / "source.spm").is_file():
        return str.split, " ".join
    from sentencepiece import SentencePieceProcessor

    source, target = SentencePieceProcessor(), SentencePieceProcessor()
    source.Load(str(folder / "source.spm"))
    target.Load(str(folder / ("target.spm" if (folder / "target.spm").is_file() else "source.spm")))
    return (lambda text: list(source.encode(text, out_type=str))), (lambda pieces: str(target.decode(pieces)))
