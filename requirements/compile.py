"""Imports all that Potstill imports, and the modules named, so that it is kept compiled: a tenth of what is there.

Also where PYTHONDONTWRITEBYTECODE is set, as in many containers: there each process would compile torch anew.
"""

import ast
import contextlib
import importlib
import sys
import warnings
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# Imported by others at work: by torch's optimisers, by figures, and by Dask's processes.
OTHERS = ("torch._dynamo", "matplotlib.backends.backend_svg", "distributed.nanny", "distributed.http.scheduler.info")


def imported(path: Path) -> set[str]:
    """Modules that a file imports, at whatever place."""
    nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
    modules = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    return modules | {node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module}


if __name__ == "__main__":
    sys.dont_write_bytecode = False
    warnings.simplefilter("ignore")
    paths = [path for layer in ("data", "stages", "pipeline") for path in (ROOT / layer).rglob("*.py")]
    # First: alone it knows how to import OpenNMT-py.
    for name in ("stages.training.opennmt", *OTHERS, *sys.argv[1:]):
        importlib.import_module(name)
    for name in sorted(set().union(*map(imported, paths))):
        with contextlib.suppress(ModuleNotFoundError):  # optional
            importlib.import_module(name)
