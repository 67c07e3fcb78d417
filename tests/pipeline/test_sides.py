"""A corpus that lost a line, as a user meets it: told by the run, and by status afterwards."""

import itertools
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
ACTIONS = {"Turn on": "einschalten", "Turn off": "ausschalten", "Open": "öffnen", "Close": "schließen"}
DEVICES = {
    "the light": "Das Licht",
    "the cover": "Die Abdeckung",
    "the valve": "Das Ventil",
    "the fan": "Den Ventilator",
    "the camera": "Die Kamera",
    "all switches": "Alle Schalter",
}
PLACES = {
    "": "",
    " in the kitchen": " in der Küche",
    " in the garden": " im Garten",
    " after 10 minutes": " nach 10 Minuten",
}
RECIPE = """
[run]
store = "{folder}/runs"

[corpus]
source_language = "en"
target_language = "de"
test_fraction = 0.0
valid_fraction = 0.0

[[corpus.sources]]
kind = "text"
name = "commands"
source_file = "{folder}/commands.en"
target_file = "{folder}/commands.de"

[teacher]
kind = "ctranslate2"
path = "{teacher}"

[tokenizer]
kind = "teacher"

[student.optimiser]
steps = 10
"""


def potstill(*arguments: str | Path) -> str:
    command = [sys.executable, "-m", "pipeline.cli", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_a_lost_line_is_told_by_the_run_and_by_status(tmp_path: Path) -> None:
    parts = itertools.product(PLACES.items(), ACTIONS.items(), DEVICES.items())
    pairs = [(f"{do[0]} {what[0]}{where[0]}", f"{what[1]}{where[1]} {do[1]}") for where, do, what in parts]
    (tmp_path / "commands.en").write_text("".join(f"{source}\n" for source, _ in pairs[:-1]), encoding="utf-8")
    (tmp_path / "commands.de").write_text("".join(f"{target}\n" for _, target in pairs[1:]), encoding="utf-8")
    recipe = tmp_path / "shifted.toml"
    recipe.write_text(RECIPE.format(folder=tmp_path, teacher=ROOT / "recipes" / "teachers" / "en-de"), encoding="utf-8")
    told = "WARNING sides: commands, all of it: sides are shifted: the reference that belongs to a row stands 1 line"
    assert told in potstill("run", recipe, "--plain", "--until", "sides")
    status = potstill("status", recipe)
    assert told in status
    assert status.index(told) > status.index("report")
    assert status.count("; reference '") == 3
