"""Memory that is freed and taken again costs no page faults within, and is given back after."""

import resource
import sys
from pathlib import Path

import pytest
import torch

from stages.training.allocator import freed_memory_kept

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="glibc")
PIECES, ELEMENTS = 24, 1 << 20
PAGES = PIECES * ELEMENTS * 4 // resource.getpagesize()


def step() -> int:
    """Page faults of taking 96 MiB in pieces, writing all and freeing them."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    pieces = [torch.ones(ELEMENTS) for _ in range(PIECES)]
    del pieces
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def test_a_later_step_finds_its_memory_and_the_end_gives_it_back() -> None:
    with freed_memory_kept():
        # The heap's free pieces lie as they will only after the second.
        step()
        step()
        assert step() < PAGES / 10
        kept = resident_bytes()
    assert kept - resident_bytes() > PIECES * ELEMENTS * 4 / 2
