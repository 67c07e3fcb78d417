"""Reads the table of contents of a CTranslate2 `model.bin`: which weights there are and where, not their values."""

import math
import struct
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal

import numpy as np

from data.errors import ModelError

# Versions in which every variable carries a type and its size in bytes, and aliases follow the variables.
OLDEST_VERSION, NEWEST_VERSION = 4, 6
_TYPES = ("float32", "int8", "int16", "int32", "float16", "bfloat16")
_ITEM_BYTES = {"float32": 4, "int8": 1, "int16": 2, "int32": 4, "float16": 2, "bfloat16": 2}
# Not learned: the factors that undo quantization.
_FACTORS = ("_scale", "_zero")
_POSITIONS = "position_encodings/encodings"
_WINDOW = "/sliding_window"
_FLOATS = {"float32": "<f4", "float16": "<f2", "bfloat16": "<u2"}
_MOST_DIMENSIONS = 8


@dataclass(frozen=True)
class Variable:
    """One stored tensor, by its header."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    learned: bool
    start: int  # of its values in the file, in bytes

    def size(self) -> int:
        """Number of elements; a scalar has one."""
        return math.prod(self.shape)


@dataclass(frozen=True)
class ModelFile:
    """What a `model.bin` says of itself. `variables` are stored once; a shared tensor's other names are `aliases`."""

    version: int
    specification: str
    variables: tuple[Variable, ...]
    aliases: tuple[tuple[str, str], ...]
    # Tokens that some layer looks back at; None where all look at everything.
    window: int | None = None

    def parameters(self) -> int:
        """Number of learned weights: shared ones once; options, sinusoids and quantization scales not at all."""
        return sum(item.size() for item in self.variables if item.learned)

    def positions(self, side: Literal["encoder", "decoder"]) -> int | None:
        """Positions that a side has encodings for: more tokens cannot be given to it. None where they are computed."""
        name = f"{side}/{_POSITIONS}"
        name = dict(self.aliases).get(name, name)
        return next((item.shape[0] for item in self.variables if item.name == name), None)

    def quantization(self) -> str:
        """Type of most matrix weights; for int8 with the type of all else behind it where that has 16 bits."""
        matrices: Counter[str] = Counter()
        vectors: Counter[str] = Counter()
        for item in self.variables:
            if item.learned:
                (matrices if len(item.shape) > 1 else vectors)[item.dtype] += item.size()
        main = matrices.most_common(1)[0][0] if matrices else "float32"
        rest = [dtype for dtype in ("float16", "bfloat16") if vectors[dtype] > vectors["float32"]]
        return f"{main}_{rest[0]}" if rest and main == "int8" else main


def read_model_file(path: Path) -> ModelFile:
    """Headers of all variables; raises ModelError when the file is no model, of another version, or cut off."""
    try:
        with path.open("rb") as stream:
            return _Reader(stream, path, path.stat().st_size).model()
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror or error}") from error


class _Reader:
    """The format, little-endian: see `ModelSpec._serialize` of CTranslate2 for its writer."""

    def __init__(self, stream: IO[bytes], path: Path, size: int) -> None:
        self._stream, self._path, self._size = stream, path, size
        self._windows: list[int] = []

    def model(self) -> ModelFile:
        version = self._number("I")
        if not OLDEST_VERSION <= version <= NEWEST_VERSION:
            raise ModelError(
                f"{self._path} is of version {version}; expected a CTranslate2 model of version {OLDEST_VERSION} to "
                f"{NEWEST_VERSION}: convert the model again with CTranslate2 4"
            )
        specification = self._text()
        self._number("I")  # the specification's revision
        variables = tuple(self._variable() for _ in range(self._number("I")))
        aliases = tuple((self._text(), self._text()) for _ in range(self._number("I")))
        if not any(len(item.shape) > 1 for item in variables):
            raise self._damaged("holds no weight matrix")
        windows = [window for window in self._windows if window > 0]
        return ModelFile(version, specification, variables, aliases, min(windows, default=None))

    def _variable(self) -> Variable:
        name = self._text()
        rank = self._number("B")
        if rank > _MOST_DIMENSIONS:
            raise self._damaged(f"{name!r} has {rank} dimensions")
        shape = tuple(self._number("I") for _ in range(rank))
        kind = self._number("B")
        if kind >= len(_TYPES):
            raise self._damaged(f"{name!r} is of an unknown type, {kind}")
        found, expected = self._number("I"), math.prod(shape) * _ITEM_BYTES[_TYPES[kind]]
        # The size is kept in 32 bits: a larger tensor's is what is left of it.
        if found != expected % 2**32:
            raise self._damaged(f"{name!r} of shape {shape} takes {found} bytes, expected {expected}")
        start = self._stream.tell()
        if name.endswith(_WINDOW) and _TYPES[kind] == "int32" and not shape:
            self._windows.append(self._number("i"))
        learned = bool(shape) and not name.endswith(_FACTORS) and not self._is_sinusoid(name, shape, _TYPES[kind])
        if self._stream.seek(start + expected) > self._size:
            raise self._damaged(f"{name!r} ends beyond the file's {self._size} bytes")
        return Variable(name, shape, _TYPES[kind], learned, start)

    def _is_sinusoid(self, name: str, shape: tuple[int, ...], dtype: str) -> bool:
        """Whether a table of positions [length, D] was computed: then a row's squares, D / 2 pairs, add up to D / 2."""
        if not name.endswith(_POSITIONS) or len(shape) != 2 or dtype not in _FLOATS or shape[0] < 2:
            return False
        width = shape[1] * _ITEM_BYTES[dtype]
        self._stream.seek(width, 1)
        raw = np.frombuffer(self._bytes(width), dtype=_FLOATS[dtype])
        # numpy has no bfloat16: it is the upper half of a float32.
        row = (raw.astype(np.uint32) << 16).view(np.float32) if dtype == "bfloat16" else raw.astype(np.float32)
        return abs(float(row @ row) - shape[1] // 2) < 0.01 * shape[1]

    def _text(self) -> str:
        length = self._number("H")
        try:
            return self._bytes(length).rstrip(b"\0").decode("utf-8")
        except UnicodeDecodeError as error:
            raise self._damaged(f"a name is no text ({error.reason})") from error

    def _number(self, kind: str) -> int:
        value: int = struct.unpack(f"<{kind}", self._bytes(struct.calcsize(f"<{kind}")))[0]
        return value

    def _bytes(self, count: int) -> bytes:
        content = self._stream.read(count)
        if len(content) < count:
            raise self._damaged("ends in the middle")
        return content

    def _damaged(self, what: str) -> ModelError:
        return ModelError(f"{self._path} is damaged or no CTranslate2 model: {what}; copy or convert it again")
