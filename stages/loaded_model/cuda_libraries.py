"""The CUDA 12 libraries that CTranslate2 looks for, where torch has brought only those of CUDA 13."""

import ctypes
import importlib.util
from pathlib import Path

# CTranslate2 4 opens these by name when it first multiplies on a GPU; packages put them where the loader does not look.
_LIBRARIES = (
    ("nvidia.cuda_runtime", "libcudart.so.12"),
    ("nvidia.cublas", "libcublasLt.so.12"),
    ("nvidia.cublas", "libcublas.so.12"),
)


def load_cuda_libraries() -> list[str]:
    """Loads what `make setup GPU=1` installed, so that CTranslate2 finds it by name; returns the paths loaded.

    Call it before a model is loaded on a GPU. Libraries that the system has are found without it.
    """
    found = [path for package, name in _LIBRARIES if (path := _find(package, name)) is not None]
    for path in found:
        ctypes.CDLL(str(path), mode=ctypes.RTLD_GLOBAL)
    return [str(path) for path in found]


def _find(package: str, name: str) -> Path | None:
    try:
        spec = importlib.util.find_spec(package)
    except ModuleNotFoundError:
        return None
    places = spec.submodule_search_locations if spec is not None else None
    files = [Path(place) / "lib" / name for place in places or ()]
    return next((path for path in files if path.is_file()), None)
