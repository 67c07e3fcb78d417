"""The comparison's machinery on made-up translations: scores against sacrebleu, and no training twice."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sacrebleu.metrics import BLEU, CHRF

from bench import quality
from bench.methods import BY_NAME, Method
from bench.quality import Training
from bench.quality_results import Facts, Result, TestSet, keep_result, read_references, read_results
from bench.quality_rows import compare
from bench.quality_table import records_of, table
from data.errors import DataError
from data.manifest import Manifest
from pipeline.recipe.recipe import read_recipe

REFERENCES = [f"Schalte das Licht {number} im Flur ein" for number in range(40)]


def result(method: str, seed: int, wrong: int, parameters: float = 19.0) -> Result:
    """Translations of which every so many are wrong; the teacher has 100 parameters."""
    lines = ["Das ist falsch" if number % wrong == 0 else text for number, text in enumerate(REFERENCES)]
    facts = Facts(
        method=method,
        seed=seed,
        changes=BY_NAME[method].changes if method in BY_NAME else (),
        training={"cpu_seconds": 60.0 * wrong, "parameters": 100.0 if method == "teacher" else parameters},
        hardware="",
        libraries={},
        date="",
    )
    return Result(facts, lines)


RESULTS = [
    result("teacher", 0, 20),
    result("references", 1, 3),
    result("interpolation", 1, 5),
    result("interpolation", 2, 6),
]


# Of the long rows, how many translations are right between two that are wrong.
LONG = {"references": 6, "together": 19}


def scores(made: Result) -> tuple[float, float]:
    lines = list(made.translations)
    return CHRF().corpus_score(lines, [REFERENCES]).score, BLEU().corpus_score(lines, [REFERENCES]).score


def test_rows_hold_sacrebleu_s_scores_of_every_seed() -> None:
    plain, interpolation = compare(RESULTS, REFERENCES).rows
    assert (plain.method.name, plain.seeds, interpolation.seeds) == ("references", (1,), (1, 2))
    assert [*zip(interpolation.chrf, interpolation.bleu, strict=True)] == [scores(RESULTS[2]), scores(RESULTS[3])]
    assert plain.difference is None
    assert interpolation.difference is not None
    wanted = (scores(RESULTS[2])[0] + scores(RESULTS[3])[0]) / 2 - scores(RESULTS[1])[0]
    assert interpolation.difference["difference"] == pytest.approx(wanted, abs=1e-6)
    assert interpolation.minutes == pytest.approx(5.5)


def test_a_student_that_searches_has_columns_of_its_own() -> None:
    long = [replace(result(f"{name}-long", 1, wrong), searched=REFERENCES) for name, wrong in LONG.items()]
    lines = table(compare([RESULTS[0], *long], REFERENCES), "demo-full").splitlines()
    assert {line.count("|") for line in lines} == {12}
    teacher, together = scores(RESULTS[0])[0], scores(long[1])[0]
    assert f"| {together:.1f} | {together / teacher:.1%} | 100.0 | {100 / teacher:.1%} |" in lines[-1]


def test_the_two_figures_are_of_the_best_row() -> None:
    long = [replace(result(f"{name}-long", 1, wrong), searched=REFERENCES) for name, wrong in LONG.items()]
    records = [each.model_dump() for each in records_of(compare([*RESULTS, *long], REFERENCES))]
    found = {each["name"]: each["value"] for each in records}
    teacher, plain, best = (scores(each)[0] for each in (RESULTS[0], *long))
    assert found["chrf_teacher"] == pytest.approx(teacher)
    assert found["best_chrf_retention"] == pytest.approx(best / teacher, rel=1e-4)
    assert found["best_chrf_retention_same_beam"] == pytest.approx(100 / teacher, rel=1e-4)
    assert found["best_gain_over_reference_chrf"] == pytest.approx(best - plain, rel=1e-4)
    assert found["chrf_interpolation"] == pytest.approx((scores(RESULTS[2])[0] + scores(RESULTS[3])[0]) / 2, rel=1e-4)


def test_a_student_that_is_too_large_is_not_the_best() -> None:
    compared = compare([*RESULTS, result("mbr", 1, 30, parameters=20.5)], REFERENCES)
    assert compared.rows[-1].size == pytest.approx(0.205)
    found = {each.name: each.detail for each in records_of(compared)}
    assert found["chrf_mbr"]["parameters_vs_teacher"] == 0.205
    assert found["best_chrf_retention"]["method"] == "interpolation"


def test_what_was_trained_by_other_keys_has_no_row() -> None:
    old = result("mbr", 1, 4)
    old = Result(old.facts.model_copy(update={"changes": ("select.metric=bleu",)}), old.translations)
    assert [row.method.name for row in compare([*RESULTS, old], REFERENCES).rows] == ["references", "interpolation"]


def test_the_table_has_a_line_a_method_beneath_the_teacher_s() -> None:
    lines = table(compare(RESULTS, REFERENCES), "quality").splitlines()
    assert len(lines) == 5
    assert {line.count("|") for line in lines} == {10}
    assert lines[2].startswith(f"| teacher, beam 5 | | {scores(RESULTS[0])[0]:.1f} | 100% |")
    assert "| 2 |" in lines[4] and " ± " in lines[4]


def test_a_difference_that_no_resample_turns_round_has_a_bound_as_its_p() -> None:
    right = replace(RESULTS[2], translations=REFERENCES)
    lines = table(compare([*RESULTS[:2], right], REFERENCES), "quality").splitlines()
    assert lines[4].endswith("| ≤ 0.002 | 5 |")


def test_every_method_is_a_recipe_without_faults(tmp_path: Path) -> None:
    checkpoint = tmp_path / "checkpoint.pt"
    checkpoint.write_bytes(b"")
    fingerprints = set()
    for method in BY_NAME.values():
        training = Training(method, 1)
        in_memory = method.recipe == "quality" or "teacher.kind=opennmt" in method.changes
        teacher = [f"teacher.path={checkpoint}"] if in_memory else []
        recipe = read_recipe(training.recipe, [*training.overrides(0), *teacher])
        fingerprints.add(str([node.config for node in recipe.graph.up_to("student").nodes]))
    assert len(fingerprints) == len(BY_NAME), "two methods are the same training"


def test_what_is_held_against_another_method_names_one() -> None:
    assert {method.against for method in BY_NAME.values()} <= {"", *BY_NAME}


def test_a_result_is_read_back_as_it_was_kept(tmp_path: Path) -> None:
    manifest = Manifest(
        stage="student", version="1", fingerprint="", config={}, inputs={}, libraries={"torch": "2"}, shards=[],
        files=[], counters={}, metrics={"seconds": 3.0, "steps": 5, "streams": {}}, created="", seconds=4.0,
    )  # fmt: skip
    method = Method("mbr", "MBR", ("select.metric=mbr-chrf",))
    keep_result(method, 2, manifest, ["eins", "", "drei\u2028vier"], archive=tmp_path / "quality.parquet")
    assert read_results(tmp_path / "quality.parquet")[0].searched is None
    keep_result(method, 2, manifest, ["eins", "", "drei\u2028vier"], ["ein", "", "vier"], tmp_path / "quality.parquet")
    (found,) = read_results(tmp_path / "quality.parquet")
    assert list(found.searched or []) == ["ein", "", "vier"]
    assert (found.method, found.seed, found.facts.training) == ("mbr", 2, {"seconds": 3.0, "steps": 5})
    assert list(found.translations) == ["eins", "", "drei vier"]
    assert (found.facts.recipe, found.facts.changes) == ("quality", ("select.metric=mbr-chrf",))


def test_only_what_has_no_result_is_trained(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Training] = []

    def train_all(trainings: Sequence[Training], lanes: int) -> None:
        asked.extend(trainings)

    nothing: dict[str, Any] = {"_prepare_teacher": lambda: None, "train_all": train_all}
    nothing |= {"records_of": lambda compared: [], "save": lambda *given: None, "write_page": lambda compared: None}
    nothing |= {"compare": lambda results, references: None}
    for name, function in (nothing | {"read_results": lambda: RESULTS}).items():
        monkeypatch.setattr(quality, name, function)
    quality.main(["--methods", "references,interpolation", "--seeds", "1,2"])
    assert [(each.method.name, each.seed) for each in asked] == [("references", 2)]
    asked.clear()
    monkeypatch.setitem(quality.BY_NAME, "interpolation", Method("interpolation", "", ("select.metric=bleu",)))
    quality.main(["--methods", "references,interpolation", "--seeds", "1"])
    assert [(each.method.name, each.seed) for each in asked] == [("interpolation", 1)], "trained by other changes"


def test_a_test_set_is_kept_line_by_line_and_is_no_result(tmp_path: Path) -> None:
    archive = tmp_path / "quality.parquet"
    TestSet(["one", "two\nlines"], ["eins", "zwei"]).save(archive)
    assert read_references(archive) == ["eins", "zwei"]
    assert read_results(archive) == []


def test_another_test_set_is_refused(tmp_path: Path) -> None:
    archive = tmp_path / "quality.parquet"
    TestSet(["one", "two\nlines"], ["eins", "zwei"]).save(archive)
    TestSet(["one", "two\nlines"], ["eins", "zwei"]).check(archive)
    with pytest.raises(DataError, match=r"quality\.parquet holds other sentences"):
        TestSet(["one", "three"], ["eins", "drei"]).check(archive)


def test_another_teacher_is_refused() -> None:
    kept = replace(RESULTS[0], translations=[f"Satz {number}" for number in range(100)])
    said = list(kept.translations)
    kept.check([*said[:95], *["anders"] * 5])
    kept.check([f" {line}\n" for line in said])
    with pytest.raises(DataError, match=r"teacher\.0 has 6 of 100 sentences otherwise than the teacher of today"):
        kept.check([*said[:94], *["anders"] * 6])


def test_each_training_is_of_the_teacher_that_was_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    class Folder:
        def path(self) -> Path:
            return Path()

    class Sentences(TestSet):
        def translate(self, model: Path, tokenizer: Path, beam_size: int) -> list[str]:
            return list(self.references)

        def check(self, archive: Path = Path()) -> None:
            pass

    monkeypatch.setattr(quality, "read_results", lambda: RESULTS)
    folder: Any = Folder()
    quality._keep_teacher(folder, folder, Sentences(REFERENCES, RESULTS[0].translations))
    with pytest.raises(DataError, match="which is another"):
        quality._keep_teacher(folder, folder, Sentences(REFERENCES, RESULTS[1].translations))
