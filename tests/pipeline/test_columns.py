"""A made-up quality estimate through the real pipeline: exported hypotheses, scored, joined, chosen and judged by."""

import csv
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from data.store import Store
from tests.fixtures.tiny_teacher import TinyShape, write_tiny_checkpoint

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
ROWS, LEFT_OUT = 60, 5
RECIPE = """
[run]
name = "columns"
store = "{folder}/runs"

[corpus]
source_language = "en"
target_language = "gl"
test_fraction = 0.1
valid_fraction = 0
shard_rows = 20

[[corpus.sources]]
kind = "tsv"
name = "made-up"
file = "{folder}/corpus.tsv"
source_column = 0
target_column = 1

[tokenizer]
kind = "none"

[teacher]
kind = "opennmt"
path = "{folder}/teacher.pt"
quantization = "float32"

[decode]
max_batch_tokens = 256

[student]
data = "hypothesis"
"""
COLUMN = """
[[measure.columns]]
name = "qe"
path = "{folder}/qe.tsv"

[select]
metric = "column:qe"

[filter.rules]
repetition = {{}}
length_ratio = {{}}
log_prob_per_token = {{}}
columns = {{qe = {{min = 0.9}}}}
"""


def potstill(*arguments: object) -> str:
    command = [sys.executable, "-m", "pipeline.cli", *map(str, arguments)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def worth(line: dict[str, str]) -> float:
    """Such as no other measure would say: by the letters of the hypothesis and of the id."""
    return sum(map(ord, line["target"] + line["id"])) % 1000 / 1000


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[dict[str, str]], str]:
    """The folder, what was exported, and what the run with the column said."""
    folder = tmp_path_factory.mktemp("columns")
    shape = TinyShape(words=20)
    write_tiny_checkpoint(folder / "teacher.pt", shape=shape)
    words = [token for token in shape.vocabulary() if token.startswith("a")]
    texts = [" ".join(words[(row * 7 + place * (row + 3)) % 20] for place in range(3 + row % 5)) for row in range(ROWS)]
    lines = [f"{text}\t{text[::-1]}\n" for text in dict.fromkeys(texts)]
    (folder / "corpus.tsv").write_text("".join(lines), encoding="utf-8")
    recipe = folder / "columns.toml"
    recipe.write_text(RECIPE.format(folder=folder), encoding="utf-8")
    potstill("run", recipe, "--plain", "--until", "decode")
    assert "hypotheses.tsv" in potstill("export-text", recipe, folder / "scored", "--ids")
    with (folder / "scored" / "hypotheses.tsv").open(encoding="utf-8", newline="") as file:
        exported = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    with (folder / "qe.tsv").open("w", encoding="utf-8") as file:
        file.write("id\ttarget\tqe\n")
        rows = {(line["id"], line["target"]): worth(line) for line in exported[LEFT_OUT:]}
        file.writelines(f"{name}\t{target}\t{value}\n" for (name, target), value in rows.items())
    recipe.write_text(RECIPE.format(folder=folder) + COLUMN.format(folder=folder), encoding="utf-8")
    return folder, exported, potstill("run", recipe, "--plain", "--until", "filter")


def rows(folder: Path, node: str) -> dict[str, dict[str, Any]]:
    [found] = [path for path in (folder / "runs" / "columns").glob(f"{node}-*") if (path / "manifest.json").exists()]
    artifact = Store(str(found.parent)).artifact(node, found.name.rpartition("-")[2])
    return {row["id"]: row for row in pa.concat_tables(artifact.tables("train")).to_pylist()}


def test_every_hypothesis_is_exported_in_its_place(run: tuple[Path, list[dict[str, str]], str]) -> None:
    folder, exported, _ = run
    lists = rows(folder, "decode")
    expected = {
        (name, str(rank), " ".join(one["text"].split()))
        for name, row in lists.items()
        for rank, one in enumerate(row["hypotheses"])
        if one["text"]
    }
    assert {(line["id"], line["rank"], line["target"]) for line in exported} == expected
    assert {(line["source_language"], line["target_language"]) for line in exported} == {("en", "gl")}


def test_the_best_value_chooses_where_all_are_known(run: tuple[Path, list[dict[str, str]], str]) -> None:
    folder, exported, _ = run
    unknown = {line["id"] for line in exported[:LEFT_OUT]}
    by_id: dict[str, list[dict[str, str]]] = {}
    for line in exported:
        by_id.setdefault(line["id"], []).append(line)
    selected = rows(folder, "select")
    assert len(selected) > len(unknown)
    for name, row in selected.items():
        complete = name not in unknown and len(by_id.get(name, [])) == len(row["utility"])
        assert row["metric"] == ("column:qe" if complete else "mbr-chrf")
        if complete:
            assert row["utility"][row["index"]] == pytest.approx(max(map(worth, by_id[name])))


def test_the_rule_judges_by_the_selected_hypothesis(run: tuple[Path, list[dict[str, str]], str]) -> None:
    folder, exported, told = run
    values = {(line["id"], line["target"]): worth(line) for line in exported[LEFT_OUT:]}
    selected, measured, verdicts = (rows(folder, node) for node in ("select", "measure", "filter"))
    missing = 0
    for name, row in measured.items():
        value = values.get((name, " ".join(selected[name]["target"].split())))
        assert row["columns"] == [{"name": "qe", "value": pytest.approx(value) if value is not None else None}]
        missing += value is None
        assert ("column:qe" in verdicts[name]["reasons"]) == (value is not None and value < 0.9)
    assert missing
    assert f"WARNING filter: the rule column:qe has no value for {missing} of {len(measured)} rows" in told
    assert "WARNING filter: the language of" in told, "lingua knows no Galician"


def test_another_file_chooses_anew_and_decodes_nothing(run: tuple[Path, list[dict[str, str]], str]) -> None:
    folder, _, _ = run
    recipe, path = folder / "columns.toml", folder / "qe.tsv"
    before = path.read_text(encoding="utf-8")
    try:
        path.write_text(before.replace("0.", "1."), encoding="utf-8")
        states = {line.split()[0]: line for line in potstill("plan", recipe, "--until", "filter").splitlines()[1:]}
        assert "done" in states["decode"]
        assert all("done" not in states[node] for node in ("select", "score", "measure", "filter"))
    finally:
        path.write_text(before, encoding="utf-8")
    metrics = json.loads(next((folder / "runs" / "columns").glob("select-*/manifest.json")).read_text(encoding="utf-8"))
    assert [column["name"] for column in metrics["config"]["columns"]] == ["qe"]
