"""The arrows of the architecture point one way: data <- stages <- pipeline; and what keeps the code small and quick.

Read from the source alone, so that a broken import cannot hide behind another.
"""

import ast
import fnmatch
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LAYERS = ("data", "stages", "pipeline")
LONGEST_FILE = 400
LONGEST_FUNCTION = 50

OF_DATA = {"numpy", "pyarrow", "fsspec", "pydantic", "pydantic_core"}
NOT_IN_STAGES = {"dask", "distributed", "typer", "rich", "pipeline"}
# Rooms of stages/ that are no stage's: what several of them use.
SHARED = {"beam_search", "languages", "loaded_model", "noise", "presentation", "text", "training"}
# From the ground up; each room imports those before it alone.
PIPELINE = ("recipe", "planning", "terminal", "starting", "running", "estimating", "tuning", "cli")
# Slow to import: `potstill plan` must answer within a second.
HEAVY = {
    "torch", "onmt", "ctranslate2", "sentencepiece", "transformers", "sacrebleu",
    "lingua", "pandas", "matplotlib", "datasets", "dask", "distributed", "optuna",
}  # fmt: skip


@dataclass(frozen=True)
class Import:
    """An import of `target` (a dotted name) at a line; `at_load` when it runs as its module is loaded."""

    line: int
    target: str
    at_load: bool


class _Imports(ast.NodeVisitor):
    def __init__(self, package: str) -> None:
        self.package = package
        self.found: list[Import] = []
        self._inside = 0

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        self._inside += 1
        self.generic_visit(node)
        self._inside -= 1

    visit_AsyncFunctionDef = visit_FunctionDef  # noqa: N815

    def visit_If(self, node: ast.If) -> None:
        if "TYPE_CHECKING" not in ast.unparse(node.test):
            self.generic_visit(node)
            return
        self._inside += 1
        for child in node.body:
            self.visit(child)
        self._inside -= 1
        for child in node.orelse:
            self.visit(child)

    def visit_Import(self, node: ast.Import) -> None:
        self.found += [Import(node.lineno, name.name, not self._inside) for name in node.names]

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        base = node.module or ""
        if node.level:
            base = ".".join([*self.package.split(".")[: -(node.level - 1) or None], *([base] if base else [])])
        self.found.append(Import(node.lineno, base, not self._inside))
        # `from stages import tokenizer` names a module, too; where it does not, the name is found nowhere.
        self.found += [Import(node.lineno, f"{base}.{name.name}", not self._inside) for name in node.names]


@cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def _module(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def _modules() -> dict[str, Path]:
    return {_module(path): path for layer in LAYERS for path in sorted((ROOT / layer).rglob("*.py"))}


def _imports(module: str) -> list[Import]:
    path = _modules()[module]
    visitor = _Imports(module if path.name == "__init__.py" else module.rpartition(".")[0])
    visitor.visit(_tree(path))
    return visitor.found


def _of(layer: str) -> list[str]:
    return [module for module in _modules() if module.split(".")[0] == layer]


def _is_stage(module: str) -> bool:
    return module.startswith("stages.") and module.endswith(".stage")


def _room(module: str) -> str:
    """The folder below the layer: `training` of `stages.training.loop`."""
    return module.split(".")[1] if "." in module else ""


def _ours(layer: str) -> Iterator[tuple[str, Import]]:
    """Every import of the layer's own modules, with the module that holds it."""
    for module in _of(layer):
        for found in _imports(module):
            if found.target.startswith(f"{layer}.") and found.target in _modules():
                yield module, found


def _loaded_with(module: str) -> Iterator[tuple[str, Import]]:
    """All imports that run when a module is loaded, with the module that holds them, followed through our own."""
    seen, waiting = {module}, [module]
    while waiting:
        current = waiting.pop()
        for found in _imports(current):
            if found.at_load:
                yield current, found
                # `a.b.c` loads `a` and `a.b` as well.
                parts = found.target.split(".")
                parents = {".".join(parts[: length + 1]) for length in range(len(parts))}
                new = (parents & _modules().keys()) - seen
                seen |= new
                waiting += sorted(new)


def _where(module: str, found: Import) -> str:
    return f"{_modules()[module].relative_to(ROOT)}:{found.line} imports {found.target}"


def test_the_layers_are_all_there() -> None:
    assert {layer for layer in LAYERS if len(_of(layer)) > 5} == set(LAYERS)
    assert {"stages.decode.stage", "stages.filter.stage"} <= {module for module in _of("stages") if _is_stage(module)}


def test_every_room_is_a_stage_or_one_that_is_named_as_shared() -> None:
    stages = {_room(module) for module in _of("stages") if _is_stage(module)}
    assert {_room(module) for module in _of("stages")} - {""} == stages | SHARED
    assert not stages & SHARED


def test_data_imports_nothing_but_the_standard_library_and_its_four() -> None:
    allowed = OF_DATA | {"data"} | sys.stdlib_module_names
    faults = [
        _where(m, found) for m in _of("data") for found in _imports(m) if found.target.split(".")[0] not in allowed
    ]
    assert faults == []


def test_stages_know_nothing_of_the_pipeline_and_its_libraries() -> None:
    roots = NOT_IN_STAGES | {"tests"}
    faults = [_where(m, found) for m in _of("stages") for found in _imports(m) if found.target.split(".")[0] in roots]
    assert faults == []


def test_a_stage_reaches_into_no_other_stages_room() -> None:
    faults = [
        _where(module, found)
        for module, found in _ours("stages")
        if _room(found.target) not in {_room(module), *SHARED}
    ]
    assert faults == []


def test_the_rooms_of_the_pipeline_lie_one_above_the_other() -> None:
    assert {_room(module) for module in _of("pipeline")} - {""} == set(PIPELINE)
    faults = [
        _where(module, found)
        for module, found in _ours("pipeline")
        if PIPELINE.index(_room(found.target)) > PIPELINE.index(_room(module))
    ]
    assert faults == []


@pytest.mark.parametrize("layer", LAYERS)
def test_no_two_rooms_and_no_two_files_import_each_other(layer: str) -> None:
    """Imports inside functions and for types alone count, too: whoever reads has to go there."""
    files: dict[str, set[str]] = {}
    rooms: dict[str, set[str]] = {}
    for module, found in _ours(layer):
        files.setdefault(module, set()).add(found.target)
        if layer != "data" and _room(module) != _room(found.target):
            rooms.setdefault(_room(module), set()).add(_room(found.target))
    # A package's own __init__ is no file that one goes to.
    packages = {module for module, path in _modules().items() if path.name == "__init__.py"}
    TopologicalSorter({module: targets - packages for module, targets in files.items()}).prepare()
    TopologicalSorter(rooms).prepare()


def test_no_layer_imports_the_tests() -> None:
    faults = [_where(m, found) for m in _modules() for found in _imports(m) if found.target.split(".")[0] == "tests"]
    assert faults == []


@pytest.mark.parametrize("layer", LAYERS)
def test_nothing_heavy_is_imported_before_it_is_needed(layer: str) -> None:
    """A library of a stage may import it at its top when the stage imports that library in a function."""
    roots = [module for module in _of(layer) if layer != "stages" or _is_stage(module)]
    faults = {
        f"{root} loads what is heavy: {_where(module, found)}"
        for root in roots
        for module, found in _loaded_with(root)
        if found.target.split(".")[0] in HEAVY
    }
    assert sorted(faults) == []


def test_the_command_line_and_all_stages_start_without_anything_heavy() -> None:
    modules = ["pipeline.cli.app", *(module for module in _of("stages") if _is_stage(module))]
    code = f"import sys, {', '.join(modules)}; sys.stdout.write(' '.join(sorted({HEAVY!r} & sys.modules.keys())))"
    found = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert found.stdout == ""


def test_files_are_short() -> None:
    paths = [*_modules().values(), *sorted((ROOT / "tests").rglob("*.py"))]
    lengths = {str(path.relative_to(ROOT)): len(path.read_text(encoding="utf-8").splitlines()) for path in paths}
    assert {name: length for name, length in lengths.items() if length > LONGEST_FILE} == {}


def test_functions_are_short() -> None:
    lengths = {
        f"{path.relative_to(ROOT)}:{node.lineno} {node.name}": (node.end_lineno or 0) - node.lineno + 1
        for path in [*_modules().values(), *sorted((ROOT / "tests").rglob("*.py"))]
        for node in ast.walk(_tree(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    assert {name: length for name, length in lengths.items() if length > LONGEST_FUNCTION} == {}


def test_an_installation_has_every_package() -> None:
    """Who installs Potstill without its checkout gets the folders that pyproject.toml names, and no others."""
    find = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]["find"]
    packages = {
        ".".join(path.parent.relative_to(ROOT).parts) for top in LAYERS for path in (ROOT / top).rglob("__init__.py")
    }
    left_out = {name for name in packages if not any(fnmatch.fnmatch(name, pattern) for pattern in find["include"])}
    assert not left_out


def test_an_installation_has_every_template() -> None:
    named = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]
    wanted = {f"{package.replace('.', '/')}/{file}" for package, files in named.items() for file in files}
    there = {
        str(path.relative_to(ROOT))
        for top in LAYERS
        for path in (ROOT / top).rglob("*")
        if path.is_file() and path.suffix != ".py" and "__pycache__" not in path.parts
    }
    assert there == wanted
