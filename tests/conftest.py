"""Fixtures that tests of more than one layer use."""

from pathlib import Path

import pytest

from tests.fixtures.tiny_teacher import write_tiny_teacher


@pytest.fixture(scope="session")
def tiny_teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as the stage teacher leaves it, with a random model of 8,128 weights. Do not write to it."""
    return write_tiny_teacher(tmp_path_factory.mktemp("tiny") / "teacher")
