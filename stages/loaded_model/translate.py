"""Text in, text out, through one exported folder: what the CLI and the evaluation share."""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Self

from data.errors import ModelError
from data.ids import normalise
from data.language_tags import Direction
from data.model_folder import Prompt, TeacherInfo, check_is_model, load_teacher_info
from stages.languages.directions import grouped
from stages.loaded_model.engine import Engine, SearchOptions, open_engine, with_target_prefix
from stages.loaded_model.model import Positions, positions_of
from stages.loaded_model.prompt import encode_sources
from stages.text.tokenizer import Tokenizer, load_tokenizer

# Whatever some program takes for the end of a line: a model may say one, as a token of its own.
_LINE_BREAK = re.compile(r"[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]+")
# Lines read before any is translated: enough to sort by length, little enough to stream.
CHUNK_LINES = 2048
BATCH_TOKENS = 1024
# Tokens of a source that are read, and of a translation, where the model has positions for them.
LONGEST_SOURCE, LONGEST_TARGET = 1024, 256
_MODEL_FILES = ("model.bin", "config.json", "*vocabulary.*")
_TOKENIZER_FILES = ("source.spm", "target.spm", "subwords.json", "*.codes")


@dataclass(frozen=True)
class Translation:
    """One line's translation; `tokens` counts its target subwords, without </s>.

    `cut`: of its source, or of itself, something is missing, as it was too long.
    """

    text: str
    tokens: int
    cut: bool = False


@dataclass(frozen=True)
class TextTranslator:
    """A loaded model with its tokenizer, and how it is asked."""

    model: Engine
    tokenizer: Tokenizer
    info: TeacherInfo
    # Tokens of a source, what stands around it not counted, and of a translation, its prefix counted.
    longest_source: int = LONGEST_SOURCE
    longest_target: int = LONGEST_TARGET
    # Scores of a search are divided by length to this power.
    length_penalty: float = 1.0
    # For whoever forces a target on it.
    positions: Positions = field(default_factory=Positions)

    @property
    def source_prefix(self) -> tuple[str, ...]:
        """Tokens that it wants before every source."""
        return self.info.source_prefix

    @property
    def source_suffix(self) -> tuple[str, ...]:
        """Tokens that it wants after every source."""
        return self.info.source_suffix

    @property
    def prompt(self) -> Prompt | None:
        """Text that it wants around every source."""
        return self.info.prompt

    def toward(self, direction: Direction) -> Self:
        """The same loaded model as it is asked in one direction; raises ModelError for a language it does not know."""
        info = self.info.toward(direction)
        return replace(self, info=info, model=with_target_prefix(self.model, info.target_prefix))

    def translate(
        self,
        lines: Sequence[str],
        *,
        beam_size: int,
        batch_tokens: int = BATCH_TOKENS,
        directions: Sequence[Direction] | None = None,
    ) -> list[Translation]:
        """One translation a line, in order, with beams of `beam_size` (1 is greedy); an empty line stays empty.

        A line that is too long is cut off; in a prompt, whose end is what asks, its translation is empty.
        `directions`: of each line; looked at where the model has language tags. Raises ModelError for a language that
        it does not know, or when it must be told the directions and was not.
        """
        if not self.info.is_tagged():
            return self._translate(lines, beam_size, batch_tokens)
        result = [Translation("", 0)] * len(lines)
        given = directions if directions is not None else [direction_of(self.info)] * len(lines)
        for direction, rows in grouped(given):
            found = self.toward(direction)._translate([lines[row] for row in rows], beam_size, batch_tokens)
            for row, translation in zip(rows, found, strict=True):
                result[row] = translation
        return result

    def _translate(self, lines: Sequence[str], beam_size: int, batch_tokens: int) -> list[Translation]:
        texts = [normalise(line) for line in lines]
        asked = [position for position, text in enumerate(texts) if text]
        found, cut = self._translate_tokens([texts[position] for position in asked], beam_size, batch_tokens)
        decoded = self.tokenizer.decode_target(found)
        result = [Translation("", 0)] * len(texts)
        for position, text, tokens, short in zip(asked, decoded, found, cut, strict=True):
            result[position] = Translation(text, len(tokens), short)
        return result

    def _translate_tokens(
        self, texts: Sequence[str], beam_size: int, batch_tokens: int
    ) -> tuple[list[list[str]], list[bool]]:
        """The translation of each text, and whether something of either is missing."""
        found: list[list[str]] = [[] for _ in texts]
        encoded = encode_sources(texts, self.tokenizer, self.prompt)
        asked = [row for row, tokens in enumerate(encoded) if not self.prompt or len(tokens) <= self.longest_source]
        sources = [self._around(encoded[row][: self.longest_source]) for row in asked]
        if sources:
            options = SearchOptions(
                beam_size,
                length_penalty=self.length_penalty,
                longest_target=self.longest_target,
                batch_tokens=batch_tokens,
                scores=False,
            )
            for row, hypotheses in zip(asked, self.model.start(sources, options)(), strict=True):
                found[row] = hypotheses[0].tokens
        longest = self.longest_target - self.model.prefix_tokens
        cut = [
            len(source) > self.longest_source or len(target) >= longest
            for source, target in zip(encoded, found, strict=True)
        ]
        return found, cut

    def _around(self, tokens: Sequence[str]) -> list[str]:
        return [*self.source_prefix, *tokens, *self.source_suffix]


def load_translator(
    folder: Path, *, tokenizer: Tokenizer | None = None, threads: int, device: str = "cpu"
) -> TextTranslator:
    """Load an exported folder, with the tokenizer beside the model unless another is given.

    On a CPU each of `threads` workers translates a batch of its own, which is faster than several threads a batch.
    Raises ModelError when the folder holds no model, or a damaged one.
    """
    import ctranslate2

    check_is_model(folder)
    info = load_teacher_info(folder)
    replicas, each = (threads, 1) if device == "cpu" else (1, 0)
    try:
        # A model that was made on another machine falls back to what this one computes.
        known = info.quantization in ctranslate2.get_supported_compute_types(device)
        compute_type = info.quantization if known else "default"
        model = open_engine(folder, info, device=device, compute_type=compute_type, replicas=replicas, threads=each)
    except (RuntimeError, ValueError) as error:
        raise ModelError(f"{folder}: CTranslate2 cannot load this model on {device}: {error}") from error
    positions = positions_of(folder, info)
    longest_source, longest_target = _longest(positions)
    return TextTranslator(
        model=model,
        tokenizer=tokenizer or load_tokenizer(folder),
        info=info,
        longest_source=longest_source,
        longest_target=longest_target,
        positions=positions,
    )


def _longest(positions: Positions) -> tuple[int, int]:
    """Tokens that are read and written at most; a decoder-only model has positions for both together."""
    source, target = positions.source, positions.target
    written = LONGEST_TARGET if target is None else min(LONGEST_TARGET, target)
    if source is not None and positions.together:
        written = min(written, source // 2)
        source -= written
    return LONGEST_SOURCE if source is None else min(LONGEST_SOURCE, source), written


def direction_of(info: TeacherInfo, source: str | None = None, target: str | None = None) -> Direction:
    """The direction that is meant by the languages that were said: of its pairs, the one that has them.

    Both said, they may be a pair that it never learned. Raises ModelError when a language is not known, or more than
    one pair has what was said.
    """
    if not info.is_tagged():
        raise ModelError("this model translates in one direction alone: leave out --from and --to")
    names = sorted(info.language_names)
    known = [Direction(first, second) for first in names for second in names if first != second]
    meant = [
        pair
        for pair in known
        if source in (None, pair.source)
        and target in (None, pair.target)
        and (None not in (source, target) or info.translates(str(pair)))
    ]
    if len(meant) == 1:
        return meant[0]
    learned = ", ".join(info.pairs) or f"any two of {', '.join(names)}"
    fault = "has no such languages" if not meant else "translates in several directions"
    raise ModelError(f"this model {fault}: it learned {learned}; say which with --from and --to")


def size_on_disk(model: Path, tokenizer: Path) -> int:
    """Bytes of what translating needs: the model's files, vocabularies included, and the tokenizer's."""
    found = [path for pattern in _MODEL_FILES for path in model.glob(pattern)]
    found += [path for name in _TOKENIZER_FILES for path in tokenizer.glob(name)]
    return sum(path.stat().st_size for path in found)


def translate_lines(
    folder: Path,
    lines: Iterable[str],
    *,
    beam_size: int = 1,
    threads: int = 1,
    device: str = "cpu",
    batch_tokens: int = BATCH_TOKENS,
    chunk_lines: int = CHUNK_LINES,
    source_language: str | None = None,
    target_language: str | None = None,
    told: Callable[[int], None] | None = None,
) -> Iterator[str]:
    """One translation a line, in order and without a line break in it.

    Never more than `chunk_lines` of the input are in memory. The model is loaded before the first line is asked for, so
    that a wrong folder is told at once. The languages are said of a model with language tags, as far as there is a
    choice. `told` is called with the number of each line, from 1 on, of which something is missing as it was too long.
    Raises ModelError when the folder holds no model that can be loaded, or it is not clear in which direction it is to
    translate.
    """
    translator = load_translator(folder, threads=threads, device=device)
    if translator.info.is_tagged() or source_language or target_language:
        translator = translator.toward(direction_of(translator.info, source_language, target_language))
    translate = partial(translator.translate, beam_size=beam_size, batch_tokens=batch_tokens)
    return _stream(translate, iter(lines), chunk_lines, told or (lambda _: None))


def _stream(
    translate: Callable[[list[str]], list[Translation]],
    lines: Iterator[str],
    chunk_lines: int,
    told: Callable[[int], None],
) -> Iterator[str]:
    number = 0
    while chunk := list(islice(lines, chunk_lines)):
        for translation in translate(chunk):
            number += 1
            if translation.cut:
                told(number)
            yield _LINE_BREAK.sub(" ", translation.text)
