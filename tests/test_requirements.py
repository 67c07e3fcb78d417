"""What is installed is what is imported and explained; which Python is taken, and what is said where there is none."""

import ast
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
REQUIREMENTS = ROOT / "requirements"
# In files of their own.
APART = {"torch", "opennmt-py"}
# Imported where they are there; what a user needs them for is told when they are not.
OPTIONAL = {"transformers", "huggingface_hub", "comet"}
# Parts of pydantic in wheels of their own.
OF_PYDANTIC = {"annotated_types", "pydantic_core"}
# Nobody here imports them, others do: OpenNMT-py, torch, and the installation of Potstill itself.
OF_OTHERS = {"configargparse", "sympy", "setuptools"}


def wanted() -> set[str]:
    lines = (REQUIREMENTS / "runtime.in").read_text().splitlines()
    return {re.split(r"[=><;\s]", line)[0] for line in lines if line and not line.startswith("#")}


def imported() -> set[str]:
    """Top-level names that the three layers import."""
    paths = [path for layer in ("data", "stages", "pipeline") for path in (ROOT / layer).rglob("*.py")]
    trees = [ast.parse(path.read_text()) for path in paths]
    nodes = [node for tree in trees for node in ast.walk(tree)]
    modules = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    modules += [node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module and not node.level]
    return {module.partition(".")[0] for module in modules} - sys.stdlib_module_names - {"data", "stages", "pipeline"}


def test_contributing_explains_each_direct_dependency_and_no_other() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text()
    table = text.partition("\n| package | what for |\n")[2].partition("\n\n")[0]
    rows = [row.split("|")[1:3] for row in table.splitlines()[1:]]
    assert all(what.strip() for _, what in rows)
    assert {name.strip().lower() for names, _ in rows for name in names.split(",")} == wanted() | APART


def test_what_is_imported_is_what_is_installed() -> None:
    names = packages_distributions()
    distributions = {names[module][0].lower() for module in imported() - OPTIONAL - OF_PYDANTIC}
    assert distributions | OF_OTHERS == wanted() | APART


def test_locks_have_no_package_twice_for_one_python() -> None:
    lines = [line for name in ("runtime.txt", "dev.txt") for line in (REQUIREMENTS / name).read_text().splitlines()]
    assert all(re.fullmatch(r"[a-z0-9-]+==[\w.]+( ; .*)?", line) for line in lines)
    often = Counter(line.partition("==")[0] for line in lines if "win32" not in line)
    assert {name for name, times in often.items() if times > 1} == {"lingua-language-detector"}


def folder_of(tmp_path: Path, **pythons: str) -> Path:
    """A folder with programs of these names, each a shell script."""
    for name, script in pythons.items():
        program = tmp_path / name.replace("_", ".")
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
    for name in ("bash", "cat"):
        (tmp_path / name).symlink_to(str(shutil.which(name)))
    return tmp_path


def python(minor: int, venv: int = 0) -> str:
    """Answers what the script asks as a Python 3 of that version would; `venv` 1: as Debian's without its venv."""
    return f"""case "$2" in
*ensurepip*) exit {venv} ;;
*exit*) test {minor} -ge 11 -a {minor} -le 14 ;;
*print*) echo 3.{minor} ;;
esac"""


def find(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = ["bash", str(REQUIREMENTS / "find_python.sh"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, env={"PATH": str(folder)}, timeout=60)


def test_the_newest_python_that_runs_is_taken(tmp_path: Path) -> None:
    folder = folder_of(
        tmp_path, python3_13="exit 127", python3_12=python(12), python3_11=python(11), python3=python(16)
    )
    assert find(folder).stdout == f"{folder}/python3.12\n"
    assert find(folder, "python3.11").stdout == f"{folder}/python3.11\n"


@pytest.mark.parametrize(
    ("pythons", "asked", "said"),
    [
        ({}, [], "No Python 3.11, 3.12, 3.13 or 3.14 was found"),
        ({"python3": python(10)}, [], "No Python 3.11, 3.12, 3.13 or 3.14 was found"),
        ({"python3_11": python(11, venv=1)}, [], "sudo apt install python3.11-venv"),
        ({"python3_11": python(11)}, ["python3.12"], "python3.12 does not run"),
        ({"python3_15": python(15)}, ["python3.15"], "python3.15 is Python 3.15"),
    ],
)
def test_where_there_is_none_it_says_how_to_get_one(
    tmp_path: Path, pythons: dict[str, str], asked: list[str], said: str
) -> None:
    found = find(folder_of(tmp_path, **pythons), *asked)
    assert found.returncode == 1
    assert found.stdout == ""
    assert said in found.stderr
    assert "uv python install" in found.stderr


def set_up(venv: Path, script: str) -> subprocess.CompletedProcess[str]:
    (venv / "bin").mkdir(parents=True)
    (venv / "bin" / "python").write_text(f"#!/bin/sh\n{script}\n")
    (venv / "bin" / "python").chmod(0o755)
    command = ["bash", str(REQUIREMENTS / "setup.sh"), str(venv), "gpu"]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=dict(os.environ), timeout=60)


def test_what_pip_says_is_shown_when_it_fails(tmp_path: Path) -> None:
    found = set_up(tmp_path / "venv", "echo 'WARNING: no index'; echo 'ERROR: no such wheel' >&2; exit 1")
    assert found.returncode == 1
    assert "no such wheel" in found.stderr


def test_what_pip_says_of_its_own_is_not_shown_when_it_succeeds(tmp_path: Path) -> None:
    found = set_up(tmp_path / "venv", "echo 'WARNING: no index'")
    assert (found.returncode, found.stderr) == (0, "")
    assert re.fullmatch(r"(.* +\d+ s\n){2}", found.stdout)
