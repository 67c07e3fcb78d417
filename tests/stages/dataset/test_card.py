"""The card as others read it: Hugging Face's parsers, a Markdown reader, and whoever pastes its lines into Python."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml
from pydantic import ValidationError

from data import schema
from data.artifact import Artifact
from data.drawn_targets import drawn
from data.runtime import Runtime
from data.soft_targets import SoftTargetFormat, unpack
from data.store import Store
from stages.dataset import stage as dataset
from stages.dataset.card import size_category
from stages.dataset.facts import markdown_table
from stages.dataset.licences import front_matter_licence
from tests.fixtures.artifacts import closed, new_artifact
from tests.fixtures.distilled import FORMAT, K, made_up_inputs


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A made-up dataset. Do not write to it."""
    return made(tmp_path_factory.mktemp("card")).path()


def made(root: Path, target_format: SoftTargetFormat = FORMAT, **config: Any) -> Artifact:
    output = new_artifact(root, "dataset")
    dataset.run(made_up_inputs(root, target_format=target_format), dataset.Config(**config), output, Runtime())
    return closed(output)


def card(folder: Path) -> str:
    return (folder / "README.md").read_text(encoding="utf-8")


def snippet(folder: Path, heading: str) -> str:
    """The Python under a heading."""
    [section] = re.findall(rf"^#+ {heading}\n(.*?)(?=^#)", card(folder), re.DOTALL | re.MULTILINE)
    [code] = re.findall(r"```python\n(.*?)```", section, re.DOTALL)
    return str(code)


def run_snippet(folder: Path, heading: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.chdir(folder)
    names: dict[str, Any] = {}
    exec(snippet(folder, heading), names)  # noqa: S102
    return names


def table_under(folder: Path, heading: str) -> list[dict[str, str]]:
    """Rows of the first table under a heading."""
    [section] = re.findall(rf"^## {heading}\n(.*?)(?=^## )", card(folder), re.DOTALL | re.MULTILINE)
    lines = [line for line in section.splitlines() if line.startswith("|")]
    header, _, *rows = ([cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines)
    return [dict(zip(header, row, strict=True)) for row in rows]


def test_pyarrow_opens_it_in_a_line(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = run_snippet(folder, "pyarrow", monkeypatch)["table"]
    assert table.schema.equals(schema.DATASET, check_metadata=False)
    assert table.num_rows == 9


@pytest.mark.slow
def test_pandas_opens_it_in_a_line(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    frame = run_snippet(folder, "pandas", monkeypatch)["frame"]
    assert list(frame.columns) == schema.DATASET.names
    assert len(frame) == 9
    assert frame["hypotheses"][0][1]["tokens"].tolist() == ["w0"]


@pytest.mark.slow
def test_dask_opens_it_in_a_line(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    frame = run_snippet(folder, "Dask", monkeypatch)["frame"]
    assert frame.npartitions == 2
    assert frame["length"].sum().compute() == 40


@pytest.mark.slow
def test_datasets_opens_it_in_a_line_and_by_the_front_matter(
    folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import datasets

    # Set on import already, where another test imported it before.
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path)
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    rows = run_snippet(folder, "datasets", monkeypatch)["rows"]
    assert (rows.num_rows, rows.column_names) == (9, schema.DATASET.names)
    assert isinstance(rows[0]["topk_ids"], bytes)

    found = datasets.load_dataset(str(folder))
    assert {split: part.num_rows for split, part in found.items()} == {"train": 9}


def test_soft_targets_are_read_in_three_lines(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = snippet(folder, "Soft targets")
    assert len([line for line in code.splitlines() if "frombuffer" in line]) == 3
    names = run_snippet(folder, "Soft targets", monkeypatch)
    assert names["ids"].shape == names["log_probs"].shape == (names["row"]["length"], K)
    mass = np.exp(names["log_probs"].astype(np.float64)).sum(axis=1) + np.exp(names["tail_log_mass"].astype(np.float64))
    np.testing.assert_allclose(mass, 1, atol=2e-3)
    stored = unpack(pq.read_table(folder / "train-00000.parquet"))[0]
    np.testing.assert_array_equal(names["ids"], stored.topk_ids)
    np.testing.assert_array_equal(names["log_probs"], stored.topk_log_probs)
    np.testing.assert_array_equal(names["tail_log_mass"], stored.tail_log_mass)


def test_compact_soft_targets_are_read_by_the_cards_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = made(tmp_path, FORMAT.model_copy(update={"encoding": "compact"})).path()
    names = run_snippet(folder, "Soft targets", monkeypatch)
    stored = unpack(pq.read_table(folder / "train-00000.parquet"))[0]
    np.testing.assert_array_equal(names["ids"], stored.topk_ids)
    np.testing.assert_allclose(names["log_probs"], stored.topk_log_probs, rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(names["tail_log_mass"], stored.tail_log_mass, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("encoding", ["exact", "compact"])
def test_drawn_soft_targets_are_read_by_the_cards_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, encoding: str
) -> None:
    changes = {"mode": "sampled", "k": 0, "draws": 12, "encoding": encoding}
    folder = made(tmp_path, FORMAT.model_copy(update=changes)).path()
    assert "12 subwords\ndrawn from its distribution" in (folder / "README.md").read_text(encoding="utf-8")
    names = run_snippet(folder, "Soft targets", monkeypatch)
    stored = drawn(pq.read_table(folder / "train-00000.parquet").slice(0, 1))
    np.testing.assert_array_equal(names["ids"], stored.ids)
    np.testing.assert_array_equal(names["probabilities"], stored.counts / 12)
    np.testing.assert_array_equal(names["positions"], np.repeat(np.arange(len(stored.entries)), stored.entries))


@pytest.mark.parametrize("title", ["a\n# b", "<b>a</b>", ""])
def test_a_title_is_one_line_of_plain_text(title: str) -> None:
    with pytest.raises(ValidationError, match="title"):
        dataset.Config(title=title)


def test_the_front_matter_is_what_the_hub_reads(folder: Path) -> None:
    from huggingface_hub import DatasetCard

    found = DatasetCard(card(folder))
    assert found.data.language == ["en", "de"]
    assert found.data.license == ["cc-by-4.0", "apache-2.0"]
    assert found.data.task_categories == ["translation"]
    assert found.data.size_categories == ["n<1K"]
    assert found.data.pretty_name == "English to German, distilled"
    assert "knowledge-distillation" in found.data.tags
    [config] = found.data.configs
    assert config["data_files"] == [{"split": "train", "path": "train-*.parquet"}]
    assert found.text.lstrip().startswith("# English to German, distilled")


def test_title_and_licence_are_the_recipes_where_it_has_them(tmp_path: Path) -> None:
    text = card(made(tmp_path, title='Home: "interface" texts', licence="CC BY-SA 4.0").path())
    front = yaml.safe_load(text.split("---\n")[1])
    assert (front["pretty_name"], front["license"]) == ('Home: "interface" texts', "cc-by-sa-4.0")
    assert '# Home: "interface" texts' in text
    assert "This dataset is under CC BY-SA 4.0" in text


def test_rows_of_every_source_add_up(folder: Path) -> None:
    rows = table_under(folder, "Sources")
    assert [row["Licence"] for row in rows] == ["CC-BY-4.0", "Apache-2.0", ""]
    assert rows[0]["Source"] == r"[site](https://example.org/a\|b)"
    for row in rows:
        parts = ("Dropped", "Held out", "Rejected", "Rows")
        assert int(row["Read"]) == sum(int(row[part]) for part in parts)
    assert rows[-1]["Rows"] == "9"


def test_the_filters_last_step_leaves_what_is_there(folder: Path) -> None:
    first, *_, last = table_under(folder, "Filter")
    assert (first["Left"], last["Left"], last["Passes"]) == ("14", "9", "0.2 to 5")


def test_every_column_is_explained(folder: Path) -> None:
    rows = {row["Column"].strip("`"): row for row in table_under(folder, "Columns")}
    assert set(schema.DATASET.names) <= set(rows)
    assert rows["reference"]["Null"] == "yes"
    assert rows["hypotheses[].tokens"]["Type"] == "list of string"
    assert "&lt;/s>" in rows["target_tokens"]["Meaning"], "a browser would drop the tag"


def test_teacher_tokenizer_and_options_are_named_and_nobodys_folders(folder: Path) -> None:
    text = card(folder)
    for words in (
        "en-de (ctranslate2), 7.61 M parameters, int8",
        "`the teacher's`",
        "beam_size = 5",
        'metric = "chrf"',
    ):
        assert words in text
    assert "somebody" not in text
    assert str(folder) not in text


def test_a_cell_cannot_break_its_table() -> None:
    table = markdown_table(("a", "b"), [("x|y\nz", "`</s>` </s>")])
    assert table.splitlines()[2] == r"| x\|y z | `</s>` &lt;/s> |"


@pytest.mark.parametrize(
    ("licences", "expected"),
    [
        (["Apache-2.0"], {"license": "apache-2.0"}),
        (["GPL-3.0-or-later", "gpl-3.0"], {"license": "gpl-3.0"}),
        (["MIT", None], {"license": ["mit", "unknown"]}),
        (["All rights, reserved"], {"license": "other", "license_name": "all-rights-reserved"}),
        ([], {"license": "unknown"}),
    ],
)
def test_licences_are_spelled_as_on_the_hub(licences: list[str | None], expected: dict[str, Any]) -> None:
    assert front_matter_licence(licences) == expected


@pytest.mark.parametrize(
    ("rows", "name"), [(999, "n<1K"), (1000, "1K<n<10K"), (10**6, "1M<n<10M"), (5 * 10**10, "n>10B")]
)
def test_sizes_are_the_hubs(rows: int, name: str) -> None:
    assert size_category(rows) == name


def with_warning(inputs: dict[str, Any], node: str, told: str) -> None:
    """The stage has warned of it."""
    path = inputs[node].path() / "manifest.json"
    metrics = inputs[node].manifest().metrics | {"warnings": [told]}
    path.write_text(json.dumps(json.loads(path.read_text()) | {"metrics": metrics}))
    inputs[node] = Store(str(path.parents[1])).artifact(node, inputs[node].fingerprint)


def test_what_sides_and_corpus_say_loudly_stands_at_the_top(tmp_path: Path) -> None:
    inputs = made_up_inputs(tmp_path)
    inputs["sides"] = closed(new_artifact(tmp_path, "sides"))
    with_warning(inputs, "sides", "news, all of it: sides are shifted\n  a.en:3: 'a' -> 'b'; reference 'c'")
    with_warning(inputs, "corpus", "web: 40 of 100 rows (40.0%) are no text")
    output = new_artifact(tmp_path, "dataset")
    dataset.run(inputs, dataset.Config(), output, Runtime())
    text = card(closed(output).path())
    assert "**To be looked at:** news, all of it: sides are shifted\n\n    a.en:3: 'a' -> 'b'; reference 'c'\n" in text
    assert "**To be looked at:** web: 40 of 100 rows" in text
    assert text.index("To be looked at") < text.index("## Open it")


def test_what_the_filter_says_loudly_stands_below_its_rules(tmp_path: Path) -> None:
    inputs = made_up_inputs(tmp_path)
    told = "the rule numbers_lost fails 4 of 100 rows (4.0%)\n  2: 'a <b> | c' -> 'd'\n  1: 'e' -> 'f'"
    with_warning(inputs, "filter", told)
    output = new_artifact(tmp_path, "dataset")
    dataset.run(inputs, dataset.Config(), output, Runtime())
    text = card(closed(output).path())
    assert "**To be looked at:** the rule numbers_lost fails 4 of 100 rows (4.0%)\n\n" in text
    assert "\n    2: 'a <b> | c' -> 'd'\n    1: 'e' -> 'f'\n" in text
