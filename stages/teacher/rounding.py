"""Weights in 8 or 16 bits against the same in 32: each is the nearest that its type has, or quantization went wrong."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from data.errors import ModelError
from data.model_file import Variable, read_model_file

_SCALE = "_scale"
# Numbers of a tensor that are looked at in one go: what is compared is some gigabytes.
_AT_ONCE = 1 << 22
# Half a step of what a number is rounded to, and a little for the arithmetic of rounding.
_HALF_STEP = 0.51
# Steps of the types with a point, relative to a number, and below their least.
_RELATIVE = {"float16": 2.0**-10, "bfloat16": 2.0**-7, "float32": 0.0}
_LEAST = {"float16": 2.0**-24, "bfloat16": 1e-38, "float32": 0.0}


def check_rounding(final: Path, exact: Path) -> None:
    """Raises ModelError when a `model.bin` is not what another, in float32, is when it is rounded."""
    ours, theirs = read_model_file(final), read_model_file(exact)
    found = {each.name: each for each in ours.variables}
    expected = {each.name: each for each in theirs.variables if not each.name.endswith(_SCALE)}
    scales = {name: each for name, each in found.items() if name.endswith(_SCALE)}
    if missing := sorted(expected.keys() ^ (found.keys() - scales.keys())):
        raise _other(final, f"{missing[0]} is in one alone")
    for name, variable in expected.items():
        if found[name].shape != variable.shape:
            raise _other(final, f"{name} has the shape {found[name].shape}, expected {variable.shape}")
        scale = scales.get(name + _SCALE)
        factors = None if scale is None else _values(final, scale)
        for one, other, factor in _parts(final, found[name], exact, variable, factors):
            if not np.all(np.abs(one - other) <= _bound(found[name].dtype, other, factor)):
                raise _other(final, f"{name} is further from what it was than rounding explains")


def _parts(
    final: Path, ours: Variable, exact: Path, theirs: Variable, factors: npt.NDArray[Any] | None
) -> Iterator[tuple[npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[Any] | None]]:
    """Numbers of both, and what ours were multiplied with, some rows at a time."""
    one, other = _values(final, ours), _values(exact, theirs)
    rows = one.reshape(one.shape[0], -1) if one.ndim else one.reshape(1, 1)
    expected = other.reshape(rows.shape)
    step = max(_AT_ONCE // max(rows.shape[1], 1), 1)
    for start in range(0, len(rows), step):
        span = slice(start, start + step)
        factor = None
        if factors is not None:
            factor = factors.reshape(-1, 1)[span] if factors.ndim and len(factors) == len(rows) else factors
        read = _as_numbers(rows[span], ours.dtype)
        yield (read if factor is None else read / factor), _as_numbers(expected[span], theirs.dtype), factor


def _values(path: Path, variable: Variable) -> npt.NDArray[Any]:
    kind = {"bfloat16": "<u2"}.get(variable.dtype, variable.dtype)
    return np.memmap(path, kind, mode="r", offset=variable.start, shape=variable.shape or (1,)).reshape(variable.shape)


def _as_numbers(values: npt.NDArray[Any], dtype: str) -> npt.NDArray[np.float64]:
    # numpy has no bfloat16: it is the upper half of a float32.
    read = (values.astype(np.uint32) << 16).view(np.float32) if dtype == "bfloat16" else values
    return np.asarray(read, dtype=np.float64)


def _bound(dtype: str, expected: npt.NDArray[Any], factor: npt.NDArray[Any] | None) -> npt.NDArray[Any]:
    if factor is not None:
        return np.asarray(_HALF_STEP / np.abs(factor) + np.abs(expected) * 1e-6)
    return np.asarray(np.abs(expected) * _RELATIVE.get(dtype, 0.0) + _LEAST.get(dtype, 0.0))


def _other(path: Path, what: str) -> ModelError:
    return ModelError(
        f"{path.name}: the model in the type that it is to be used in is another than in float32: {what}; set "
        "teacher.quantization to another type (float16 ends at 65,504)"
    )
