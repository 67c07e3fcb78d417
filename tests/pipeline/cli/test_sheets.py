"""The commands sheet and rate, over translations that a test has made up."""

import csv
import json
import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pipeline.cli.app import main
from pipeline.cli.rating_table import rating_table
from pipeline.recipe.graph import StageEntry
from pipeline.running.cluster import Cluster

Call = Callable[..., tuple[int, str, str]]


STAGES = (StageEntry("evaluate", "tests.pipeline.toy.evaluated"),)


@pytest.fixture
def call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], cluster: Cluster
) -> Iterator[Call]:
    """Calls the command, over one stage whose translations are made up, in a folder of its own."""
    (tmp_path / "my.toml").write_text("")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def run_main(*arguments: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            main(list(arguments), STAGES)
        output = capsys.readouterr()
        return int(ended.value.code or 0), output.out, output.err

    code, _, errors = run_main("sheet", "my.toml", "sheet.csv")
    assert (code, errors) == (1, "the evaluate is not there yet; run `potstill run my.toml --until evaluate` first\n")
    assert run_main("run", "my.toml", "--scheduler", cluster.client.scheduler.address)[0] == 0
    yield run_main
    logging.getLogger().handlers.clear()


def fill(path: Path, name: str, preferred: str) -> None:
    """A copy in which one side is always preferred, and better by two grades."""
    with path.open(encoding="utf-8-sig", newline="") as stream:
        rows = list(csv.DictReader(stream))
    for row in rows:
        row["preference"] = preferred
        row |= {"adequacy A": "4" if preferred == "A" else "2", "adequacy B": "2" if preferred == "A" else "4"}
    with path.with_name(name).open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def test_a_sheet_is_written_filled_and_scored(call: Call, tmp_path: Path) -> None:
    code, output, _ = call("sheet", "my.toml", "sheet.csv", "--sentences", "12", "--systems", "student, baseline")
    assert code == 0
    assert output.splitlines() == [
        "sheet.csv: 12 sentences, for raters",
        "sheet.key.json: the key, not for raters",
    ]
    fill(tmp_path / "sheet.csv", "one.csv", "A")
    fill(tmp_path / "sheet.csv", "two.csv", "A")
    sides = [first for first, _ in json.loads((tmp_path / "sheet.key.json").read_text())["rows"].values()]
    code, output, _ = call("rate", "one.csv", "two.csv", "sheet.key.json", "--json")
    assert code == 0
    found = json.loads(output)
    assert (found["wins"], found["losses"]) == (sides.count(0), sides.count(1))
    assert found["agreement"]["kappa"] == 1
    code, output, _ = call("rate", "one.csv", "two.csv", "sheet.key.json")
    assert output.rstrip("\n") == rating_table(found)
    assert f"12 of 12 sentences judged: student better in {sides.count(0)}, baseline in {sides.count(1)}" in output
    assert "A was preferred 24 times, B 0 times" in output
    assert "agreement: Cohen's kappa 1.00; all said the same of 12 of the 12 sentences that all judged" in output


def test_a_sheet_that_nobody_filled_says_so(call: Call) -> None:
    call("sheet", "my.toml", "sheet.csv")
    code, output, _ = call("rate", "sheet.csv", "sheet.key.json")
    assert code == 0
    assert "0 of 56 sentences judged" in output
    assert "no sentence was decided" in output
    assert "adequacy of student: not filled" in output


def test_wrong_systems_are_told_with_those_that_are_there(call: Call) -> None:
    code, _, errors = call("sheet", "my.toml", "sheet.csv", "--systems", "student")
    assert (code, errors) == (2, "--systems: 'student'; expected two names with a comma between\n")
    code, _, errors = call("sheet", "my.toml", "sheet.csv", "--systems", "student,techer")
    assert code == 1
    assert "the evaluation has no system techer; it has reference, teacher, student, baseline" in errors
