"""The teacher, loaded: what decode and score share."""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Literal, Self

from data.errors import ModelError
from data.language_tags import Direction
from data.model_file import read_model_file
from data.model_folder import (
    CONFIG_FILE,
    MODEL_FILE,
    TeacherInfo,
    load_teacher_info,
    read_vocabulary,
    special_token,
)
from data.runtime import Runtime
from stages.loaded_model.engine import Engine, open_engine, with_target_prefix
from stages.text.tokenizer import Tokenizer

# CTranslate2 may put a mark before and one after a sentence.
_MARKS = 2
# The name that CTranslate2 has for it.
_SHORTLIST = "vmap.txt"
# Subwords that never occurred in the training data may have been left out of a model's vocabulary.
MOST_PIECES_MISSING = 0.01


@dataclass(frozen=True)
class Positions:
    """Tokens that a model has positions for; None where any number goes."""

    # Of a source, those around it not counted; `together`: of a source and its target, as a decoder-only model has it.
    source: int | None = None
    together: bool = False
    # Of a target, with the `prefix` tokens that every target begins with.
    target: int | None = None
    prefix: int = 0

    def longest_source(self, target: int) -> int | None:
        """Tokens of the longest source that goes with a target of so many tokens; None where any number goes."""
        return self.source - target if self.together and self.source is not None else self.source

    def hold(self, source: int, target: int) -> bool:
        """Whether a target of so many tokens can be forced behind a source of so many."""
        longest = self.longest_source(target)
        return (longest is None or source <= longest) and (self.target is None or self.prefix + target <= self.target)


@dataclass(frozen=True)
class TeacherModel:
    """A CTranslate2 teacher on its device."""

    engine: Engine
    info: TeacherInfo
    positions: Positions

    def sources(self, tokens: Sequence[Sequence[str]]) -> list[list[str]]:
        """Source subwords as the model wants them: with the language tags and end marks that belong around them."""
        return [[*self.info.source_prefix, *row, *self.info.source_suffix] for row in tokens]

    def toward(self, direction: Direction) -> Self:
        """The same loaded model as it is asked in one direction; raises ModelError for a language it does not know."""
        info = self.info.toward(direction)
        if info is self.info:
            return self
        return replace(self, info=info, engine=with_target_prefix(self.engine, info.target_prefix))


@dataclass(frozen=True)
class TargetVocabulary:
    """The teacher's target vocabulary, of V tokens."""

    tokens: tuple[str, ...]
    unknown: str
    end: str

    @classmethod
    def read(cls, folder: Path, end_token: str = "") -> Self:
        """That of a model's folder; `end_token` ends a target in place of the model's own end.

        Raises ModelError when a special token is missing from it.
        """
        unknown, end = special_token(folder, "unk_token"), end_token or special_token(folder, "eos_token")
        tokens = tuple(read_vocabulary(folder, "target"))
        if missing := sorted({unknown, end} - set(tokens)):
            raise ModelError(
                f"{folder}: its target vocabulary lacks {', '.join(missing)}, which {CONFIG_FILE} names; "
                "convert the model again"
            )
        return cls(tokens, unknown, end)

    @property
    def size(self) -> int:
        """V."""
        return len(self.tokens)

    @cached_property
    def ids(self) -> dict[str, int]:
        """Id of every token; the first where one comes twice."""
        return {token: number for number, token in reversed(list(enumerate(self.tokens)))}

    def ids_of(self, tokens: Sequence[str]) -> list[int]:
        """Ids of tokens; that of the unknown token for those it lacks."""
        unknown = self.ids[self.unknown]
        return [self.ids.get(token, unknown) for token in tokens]

    def forced_ids(self, targets: Sequence[Sequence[str]]) -> list[int]:
        """Ids at all positions of some targets, each with its end of sentence, one after the other."""
        return [number for target in targets for number in self.ids_of([*target, self.end])]


def load_teacher(
    folder: Path, runtime: Runtime, *, spread: bool = False, shortlist: Path | None = None
) -> TeacherModel:
    """The model in a teacher's folder, on the device and with the arithmetic that its `potstill.json` names.

    `spread`: on a CPU, a batch on each of the threads, as many processes would have it, and not all threads on one.
    `shortlist`: a `vmap.txt`, which is used only by who asks for it. Raises ModelError when it cannot be loaded.
    """
    info = load_teacher_info(folder)
    device = device_of(info, runtime)
    replicas = runtime.threads if spread and device == "cpu" else 1
    with _with_shortlist(folder, shortlist) as together:
        engine = _engine(together, folder, info, device, (replicas, runtime.threads // replicas))
    return TeacherModel(engine, info, positions_of(folder, info))


def positions_of(folder: Path, info: TeacherInfo) -> Positions:
    """What the model in a teacher's folder has positions for."""
    model = read_model_file(folder / MODEL_FILE)
    around = len(info.source_prefix) + len(info.source_suffix) + _MARKS
    together = info.architecture == "decoder-only"
    read_by: Literal["encoder", "decoder"] = "decoder" if together else "encoder"
    return Positions(
        source=_without(model.positions(read_by), around),
        together=together,
        target=_without(model.positions("decoder"), _MARKS),
        prefix=len(info.target_prefix),
    )


def _engine(path: Path, folder: Path, info: TeacherInfo, device: str, threads: tuple[int, int]) -> Engine:
    """The model at `path`, which is known as `folder`; batches at a time and threads of each are its `threads`."""
    try:
        return open_engine(
            path, info, device=device, compute_type=info.quantization, replicas=threads[0], threads=threads[1]
        )
    except (RuntimeError, ValueError) as error:
        raise ModelError(
            f"{folder}: CTranslate2 cannot load this model on {device} as {info.quantization}: {error}; "
            "set teacher.quantization to a type that this machine computes, or auto"
        ) from error


@contextmanager
def _with_shortlist(folder: Path, shortlist: Path | None) -> Iterator[Path]:
    """The folder, or one of links to its files and to the shortlist: CTranslate2 looks for it beside the model."""
    if shortlist is None:
        yield folder
        return
    with tempfile.TemporaryDirectory(prefix="potstill-shortlist-") as scratch:
        together = Path(scratch)
        for path in folder.iterdir():
            if path.is_file() and path.name != _SHORTLIST:
                (together / path.name).symlink_to(path.absolute())
        (together / _SHORTLIST).symlink_to(shortlist.absolute())
        yield together


def _without(positions: int | None, taken: int) -> int | None:
    return None if positions is None else max(positions - taken, 1)


def device_of(info: TeacherInfo, runtime: Runtime) -> str:
    """Where the teacher runs: the recipe's choice, else the best device here; raises ModelError when it is not here."""
    if info.device == "cuda" and runtime.device != "cuda":
        raise ModelError(
            "teacher.device is cuda, and this worker has no GPU; set it to auto, or run where there is one"
        )
    return runtime.device if info.device == "auto" else info.device


def check_tokenizer(tokenizer: Tokenizer, folder: Path) -> None:
    """Raises ModelError when the tokenizer's subwords are not in the model's vocabularies: it is another model's."""
    sides = {
        "source": (tokenizer.source_pieces(), read_vocabulary(folder, "source")),
        "target": (tokenizer.target_pieces(), read_vocabulary(folder, "target")),
    }
    faults = [fault for side, (pieces, tokens) in sides.items() if (fault := _missing(side, pieces, tokens))]
    if faults:
        raise ModelError(
            f"the tokenizer does not belong to the teacher: {'; '.join(faults)}; set [tokenizer] to the model's own "
            "(kind = teacher, or kind = file with the files it was trained with)"
        )


def token_batches(rows: Sequence[int], sizes: Sequence[tuple[int, ...]], max_tokens: int) -> Iterator[list[int]]:
    """Batches of rows of similar size, largest first: rows times the largest of a size is at most `max_tokens`.

    A row's size has a number or more, the first of which is the first to sort by; a row that is too large alone is
    a batch of its own. They depend on the arguments alone, so that results, which may hang on a batch's shape, can
    be had again.
    """
    batch: list[int] = []
    largest = 0
    for row in sorted(rows, key=lambda row: (tuple(-size for size in sizes[row]), row)):
        grown = max(largest, *sizes[row], 1)
        if batch and (len(batch) + 1) * grown > max_tokens:
            yield batch
            batch, grown = [], max(*sizes[row], 1)
        batch.append(row)
        largest = grown
    if batch:
        yield batch


def _missing(side: str, pieces: Sequence[str], tokens: Sequence[str]) -> str:
    known = set(tokens)
    missing = [piece for piece in pieces if piece not in known]
    if len(missing) <= MOST_PIECES_MISSING * len(pieces):
        return ""
    examples = ", ".join(repr(piece) for piece in missing[:5])
    return (
        f"{len(missing)} of its {len(pieces)} {side} subwords are not among the {len(tokens)} tokens of the teacher's "
        f"{side} vocabulary, such as {examples}"
    )
