"""Translations that were made elsewhere, through the real pipeline: the loop to the report, and beside a model.

The oracle of soft targets that are given is a real teacher: what its own run stored comes back from a file of its
hypotheses and log-probabilities.
"""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from sacrebleu import CHRF

from data.soft_targets import SoftTargetFormat, unpack
from data.store import Store
from tests.fixtures.oracle import forced_log_probs

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
RECIPE = """
[run]
store = "{folder}/runs"

[corpus]
source_language = "es"
target_language = "ca"
test_fraction = 0.15
valid_fraction = 0.1
shard_rows = 40

[[corpus.sources]]
kind = "tsv"
name = "made-up"
file = "{folder}/corpus.tsv"
source_column = 0
target_column = 1

# What random words and models say is no translation by any measure.
[filter.rules]
length_ratio = {{}}
source_copy = {{}}
repetition = {{}}
log_prob_per_token = {{}}
language_probability = {{}}
numbers_lost = {{}}
placeholders_lost = {{}}
target_length = {{}}
unknown_tokens = {{}}

[student]
{student}

[student.model]
width = 16
heads = 2
feed_forward = 24

[student.optimiser]
steps = 12
batch_tokens = 256
report_every = 6

[evaluate]
repeats = 1
timed_sentences = 5
bootstrap_samples = 100
student_beam = 2
teacher_beam = 2
"""
HARD = "objective.soft_targets.weight = 0"
OWN = '\n[teacher]\nkind = "given"\npath = "{folder}/{file}"\nmade_by = "a rule"\n\n[tokenizer]\nvocabulary_size = 34\n'
TRAINED = """
[teacher]
kind = "train"
quantization = "float32"
model = {{width = 16, heads = 2, feed_forward = 24, encoder_layers = 1, decoder_layers = 1}}
optimiser = {{steps = 4, batch_tokens = 256, report_every = 2}}

[decode]
num_hypotheses = 2
beam_size = 2
max_batch_tokens = 128
max_decoding_length = 10

[score]
k = 6
precision = "float32"
backend = "ctranslate2"
"""


def translated(source: str) -> str:
    return source.replace("w", "v")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With a corpus of words, whose references are right or wrong by chance."""
    place = tmp_path_factory.mktemp("given")
    random = np.random.default_rng(4)
    words = [[f"w{number}" for number in random.integers(0, 30, random.integers(3, 8))] for _ in range(160)]
    lines = [f"{' '.join(row)}\t{translated(' '.join(row))}\n" for row in words]
    (place / "corpus.tsv").write_text("".join(sorted(set(lines))), encoding="utf-8")
    return place


@pytest.fixture(scope="module")
def finished(folder: Path) -> Path:
    """The recipe of a run to its report, by the loop that docs/teachers.md shows."""
    recipe = _recipe(folder, "loop", OWN, student=HARD, file="loop.tsv")
    _potstill("run", recipe, "--plain", "--until", "corpus")
    _potstill("export-text", "--sources", recipe, folder / "text")
    head, *lines = (folder / "text" / "sources.tsv").read_text(encoding="utf-8").splitlines()
    assert head == "id\tsplit\tsource_language\ttarget_language\tsource"
    rows = [line.split("\t") for line in lines]
    assert {row[1] for row in rows} == {"train", "valid", "test"}
    told = [f"{head}\ttarget", *("\t".join([*row, translated(row[4])]) for row in rows[1:])]
    told += ["\t".join(["f" * 32, "train", "es", "ca", "nada", "res"])]
    (folder / "loop.tsv").write_text("\n".join(told) + "\n", encoding="utf-8")
    _potstill("run", recipe, "--plain")
    return recipe


def test_a_run_without_the_file_is_refused_with_what_makes_it(folder: Path) -> None:
    recipe = _recipe(folder, "absent", OWN, student=HARD, file="never.tsv")
    told = _potstill("run", recipe, "--plain", code=2)
    assert "teacher.path: " in told
    assert f"`potstill export-text --sources {recipe} FOLDER`" in told
    assert not (folder / "runs" / "absent").exists()
    assert "never.tsv: no such file" in _potstill("plan", recipe)
    assert "never.tsv: no such file" in _potstill("estimate", recipe, "--plain", code=2)


def test_the_dataset_has_what_was_given_and_says_so(finished: Path) -> None:
    table = _dataset(finished)
    assert table["target"].to_pylist() == [translated(source) for source in table["source"].to_pylist()]
    assert set(table["conditioning"].to_pylist()) == {"unknown"}
    assert table["token_log_probs"].null_count == table["log_prob_per_token"].null_count == table.num_rows
    assert {one["score"] for row in table["hypotheses"].to_pylist() for one in row} == {None}
    assert SoftTargetFormat.of(table.schema).mode == "none"
    card = next((finished.parent / "runs" / "loop").glob("dataset-*/README.md")).read_text(encoding="utf-8")
    for expected in (
        "that a rule gave of it.",
        "| Teacher | a rule (given, loop.tsv) |",
        "There are none: the translations",
    ):
        assert expected in card, expected
    assert "soft-targets" not in card.partition("---\n\n#")[0]


def test_the_row_that_the_file_lacks_is_rejected_and_counted(finished: Path) -> None:
    metrics = json.loads(_potstill("metrics", finished))
    train = metrics["given"]["splits"]["train"]
    assert (train["rows"] - train["translated"], metrics["given"]["unmatched"]) == (1, 1)
    assert metrics["decode"]["untranslated"] == 1
    steps = {step["rule"]: step["failed"] for step in metrics["filter"]["waterfall"]}
    assert (steps["empty_target"], metrics["dataset"]["rows"]) == (1, train["translated"])


def test_the_report_compares_quality_and_no_speed(finished: Path) -> None:
    metrics = json.loads(_potstill("metrics", finished))
    teacher = metrics["systems"]["teacher"]
    assert (teacher["chrf"], teacher["given"]) == (pytest.approx(100.0), True)
    assert not {"sentences_per_second", "parameters", "bytes"} & set(teacher)
    assert set(metrics["ratios"]) == {"chrf_vs_teacher"}
    assert "soft_targets" not in metrics
    page = _page(finished)
    assert "so there is no speed or size to compare with" in page
    assert "The translations of the teacher were given, without a model: it has no speed and no size." in page
    assert "Teacher, given (a rule)" in page
    assert "1 are of no row of the corpus" in page


def test_other_commands_take_such_a_recipe(finished: Path) -> None:
    assert "nothing to do" in _potstill("run", finished)
    assert "all as their manifests say" in _potstill("verify", finished)
    assert {"given", "teacher", "decode"} <= {line.split()[0] for line in _potstill("status", finished).splitlines()}
    _potstill("doctor", finished)
    _potstill("export-text", finished, finished.parent / "parallel")
    told = _potstill("export-text", "--ids", finished, finished.parent / "hypotheses")
    assert re.search(r"hypotheses.tsv: \d+ hypotheses", told)
    refused = _potstill("export-teacher", finished, finished.parent / "teacher", code=1)
    assert "the translations of this teacher were given, so there is no model" in refused
    teacher = _potstill("path", finished, "teacher").strip()
    assert "so there is no model that could translate" in _potstill("translate", teacher, code=1)
    student = _potstill("path", finished, "export").strip()
    assert "trained on the teacher's translations." in (Path(student) / "README.md").read_text(encoding="utf-8")


def test_translations_of_test_rows_train_nothing_again_and_without_them_the_teacher_is_left_out(finished: Path) -> None:
    file = finished.parent / "loop.tsv"
    whole = file.read_text(encoding="utf-8")
    left = [line for line in whole.splitlines() if "\ttest\t" not in line or line.startswith("id")]
    file.write_text("\n".join([*left, *[line for line in whole.splitlines() if "\ttest\t" in line][1:]]) + "\n")
    try:
        plan = {line.split()[0]: line for line in _potstill("plan", finished).splitlines()[1:]}
        assert " to do " in plan["given"]
        begun = set(re.findall(r"^(\w+): begins", _potstill("run", finished, "--plain"), re.MULTILINE))
        # The card tells of the file, and no row of it is another.
        assert begun == {"given", "dataset", "evaluate", "report"}
        metrics = json.loads(_potstill("metrics", finished))
        assert "teacher" not in metrics["systems"]
        assert metrics["given_teachers"]["teacher"]["translated"] == metrics["test"]["sentences"] - 1
        assert re.search(r"no scores, as its file has \d+ of the \d+ test sentences", _page(finished))
    finally:
        file.write_text(whole, encoding="utf-8")


def test_an_estimate_is_made_of_such_a_recipe(folder: Path, finished: Path) -> None:
    recipe = _recipe(folder, "estimated", OWN, student=HARD, file="loop.tsv")
    told = _potstill("estimate", recipe, "--plain", "--rows", "60")
    stages = {line.split()[0] for line in told.splitlines() if line.strip()}
    assert {"given", "decode", "student", "evaluate"} <= stages


def test_what_a_real_teacher_stored_comes_back_from_a_file(folder: Path) -> None:
    real = _recipe(folder, "real", TRAINED + "\n[tokenizer]\nvocabulary_size = 34\n", student="")
    _potstill("run", real, "--plain", "--until", "dataset")
    expected, runs = _dataset(real), folder / "runs" / "real"
    model = next(runs.glob("tokenizer-*/source.spm"))
    checkpoint = next(runs.glob("teacher-*/checkpoint.pt"))
    tokenizer = _tokenizer(model)
    vocabulary = json.loads(next(runs.glob("dataset-*/vocabulary.json")).read_text(encoding="utf-8"))["target"]
    records = []
    for row in expected.to_pylist():
        found = []
        for one in row["hypotheses"]:
            full = forced_log_probs(checkpoint, tokenizer.encode(row["source"], out_type=str), one["tokens"])
            found.append(
                {
                    **{name: one[name] for name in ("text", "score", "tokens")},
                    "log_probs": _top(full, one["tokens"], vocabulary),
                }
            )
        records.append({"id": row["id"], "hypotheses": found})
    (folder / "real.jsonl").write_text("".join(f"{json.dumps(one)}\n" for one in records[::-1]), encoding="utf-8")
    own = OWN.replace("vocabulary_size = 34", f'kind = "file"\nsource_model = "{model}"')
    own = own.replace("[tokenizer]", "soft_targets = true\n\n[score]\nk = 6\n\n[tokenizer]")
    given = _recipe(folder, "given", own, student="", file="real.jsonl")
    _potstill("run", given, "--plain")
    _check_equal(_dataset(given), expected)
    metrics = json.loads(_potstill("metrics", given))
    assert metrics["soft_targets"]["backend"] == "given"
    assert "mean_entropy" not in metrics["soft_targets"]
    assert "given with the translations" in _page(given)


def test_given_translations_beside_a_model_are_chosen_where_they_are_better(folder: Path, finished: Path) -> None:
    beside = '\n[teachers.people]\nkind = "given"\npath = "{folder}/loop.tsv"\n\n[tokenizer]\nvocabulary_size = 34\n'
    recipe = _recipe(folder, "mixed", TRAINED + beside, student="")
    _potstill("run", recipe, "--plain")
    rows = _dataset(recipe).to_pylist()
    assert {row["teacher"] for row in rows} == {"people", "teacher"}, "the teacher has the row that the file lacks"
    for row in rows:
        assert [one["teacher"] for one in row["hypotheses"]][:2] == ["teacher"] * 2
        worth = [CHRF().sentence_score(one["text"], [row["reference"]]).score for one in row["hypotheses"]]
        assert row["utility"] == pytest.approx(worth, rel=1e-5, abs=1e-4)
        assert row["conditioning"] == "hypothesis", "the model forces what people said"
    assert sum(row["teacher"] == "people" for row in rows) == len(rows) - 1
    metrics = json.loads(_potstill("metrics", recipe))
    assert metrics["systems"]["teacher_people"]["given"] is True
    assert metrics["systems"]["teacher"]["sentences_per_second"] > 0
    assert "speedup_vs_teacher" in metrics["ratios"]
    assert "Teacher people, given" in _page(recipe)


def test_a_model_beside_given_translations_fills_what_they_lack(folder: Path, finished: Path) -> None:
    small = TRAINED.replace("[teacher]", "[teachers.small]\nsoft_targets = false").partition("[score]")[0]
    recipe = _recipe(folder, "turned", OWN + small, student=HARD, file="loop.tsv")
    _potstill("run", recipe, "--plain")
    rows = _dataset(recipe).to_pylist()
    assert sum(row["teacher"] == "teacher" for row in rows) == len(rows) - 1
    metrics = json.loads(_potstill("metrics", recipe))
    assert metrics["systems"]["teacher_small"]["parameters"] > 0
    assert metrics["systems"]["teacher"]["given"] is True


def _check_equal(found: pa.Table, expected: pa.Table) -> None:
    """All columns that the teacher had a say in; of sums of a tail, as far as its entries were rounded."""
    same = (
        "id",
        "source",
        "reference",
        "index",
        "target",
        "target_tokens",
        "teacher",
        "metric",
        "length",
        "conditioning",
    )
    for name in same:
        assert found[name].to_pylist() == expected[name].to_pylist(), name
    left, right = (
        [[{**one, "score": 0} for one in row] for row in table["hypotheses"].to_pylist()] for table in (found, expected)
    )
    assert left == right
    for name in ("teacher_score", "log_prob_per_token"):
        assert found[name].to_pylist() == pytest.approx(expected[name].to_pylist(), rel=2e-3), name
    formats = [SoftTargetFormat.of(table.schema) for table in (found, expected)]
    assert formats[0].vocabulary_digest == formats[1].vocabulary_digest
    for ours, theirs in zip(unpack(found), unpack(expected), strict=True):
        np.testing.assert_allclose(ours.topk_log_probs, theirs.topk_log_probs, rtol=2e-3)
        np.testing.assert_allclose(ours.token_log_probs, theirs.token_log_probs, rtol=2e-3)
        tails = [np.exp(side.tail_log_mass.astype(np.float64)) for side in (ours, theirs)]
        np.testing.assert_allclose(*tails, atol=2e-3)
        # Entries that are as probable as one another may change places.
        differs = ours.topk_ids != theirs.topk_ids
        assert differs.mean() < 0.02


def _top(log_probs: Any, tokens: list[str], vocabulary: list[str], most: int = 12) -> list[dict[str, float]]:
    """As an API tells them: the most probable entries, by token, and the chosen one where it is not among them."""
    told = []
    for row, token in zip(log_probs, [*tokens, "</s>"], strict=True):
        entries = {*np.argsort(-row)[:most].tolist(), vocabulary.index(token)}
        told.append({vocabulary[entry]: float(row[entry]) for entry in sorted(entries)})
    return told


def _tokenizer(model: Path) -> Any:
    from sentencepiece import SentencePieceProcessor

    return SentencePieceProcessor(model_file=str(model))


def _recipe(folder: Path, name: str, teachers: str, *, student: str, file: str = "") -> Path:
    path = folder / f"{name}.toml"
    path.write_text((RECIPE + teachers).format(folder=folder, student=student, file=file), encoding="utf-8")
    return path


def _dataset(recipe: Path) -> pa.Table:
    (artifact,) = Store(f"{recipe.parent}/runs/{recipe.stem}").artifacts("dataset")
    return pa.concat_tables(list(artifact.tables()))


def _page(recipe: Path) -> str:
    """The newest report, as text."""
    pages = (recipe.parent / "runs" / recipe.stem).glob("report-*/index.html")
    page = max(pages, key=lambda path: path.stat().st_mtime).read_text(encoding="utf-8")
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", re.sub(r"<(style|svg).*?</\1>", "", page, flags=re.DOTALL)))


def _potstill(*arguments: Any, code: int = 0) -> str:
    command = [sys.executable, "-m", "pipeline.cli", *map(str, arguments)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, input="")
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + (done.stderr if code else "")
