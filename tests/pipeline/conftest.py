from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pipeline.recipe.recipe import Recipe, read_recipe
from pipeline.running.cluster import Cluster, connect
from tests.pipeline.toy.registry import TOY_STAGES

ReadToy = Callable[..., Recipe]


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """Two real worker processes, started once for all tests of the pipeline."""
    with connect(None, 2, ("pyarrow",), dashboard=False) as running:
        yield running


@pytest.fixture
def read_toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ReadToy:
    """Reads a toy recipe whose store lies in the test's own folder."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def read(*overrides: str, text: str = "[corpus]\nrows = 20\nshard_rows = 5\n[base]\n") -> Recipe:
        path = tmp_path / "toy.toml"
        path.write_text(text)
        return read_recipe(path, (f"run.store={tmp_path / 'runs'}", *overrides), TOY_STAGES)

    return read
