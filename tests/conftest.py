"""Fixtures that tests of more than one layer use."""

import os
from pathlib import Path

import pytest

from tests.fixtures.tiny_teacher import write_tiny_teacher


def pytest_configure() -> None:
    """Before any test loads torch: one thread a process, as many processes as cores.

    Two threads wait for each other in loops that do nothing, and longest on a busy machine: tests of small trainings
    took four times the processor's time with them.
    """
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(name, "1")
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")


@pytest.fixture(scope="session")
def tiny_teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as the stage teacher leaves it, with a random model of 8,128 weights. Do not write to it."""
    return write_tiny_teacher(tmp_path_factory.mktemp("tiny") / "teacher")
