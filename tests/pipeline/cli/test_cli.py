import json
import logging
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pipeline.cli.app import main
from pipeline.running.cluster import Cluster
from tests.pipeline.toy.registry import TOY_STAGES

Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], cluster: Cluster
) -> Iterator[Call]:
    """Calls the command over the toy stages in a folder of its own; returns exit code, output and errors."""
    (tmp_path / "toy.toml").write_text("[corpus]\nrows = 20\nshard_rows = 5\n[base]\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def run_main(*arguments: str) -> tuple[int, str, str]:
        there = ("--scheduler", cluster.client.scheduler.address) if arguments[0] in ("run", "tune") else ()
        with pytest.raises(SystemExit) as ended:
            main([*arguments, *there], TOY_STAGES)
        output = capsys.readouterr()
        return int(ended.value.code or 0), output.out, output.err

    yield run_main
    logging.getLogger().handlers.clear()


def test_run_runs_and_a_second_run_has_nothing_to_do(call: Call, tmp_path: Path) -> None:
    code, output, _ = call("run", "toy.toml")
    assert code == 0
    assert "report: done" in output
    assert "toy: corpus, shout, count, total, base, report done in 0:" in output
    (page,) = [line.removeprefix("report: ") for line in output.splitlines() if line.startswith("report: /")]
    assert Path(page).parent in set(tmp_path.glob("runs/toy/report-*"))
    code, output, _ = call("run", "toy.toml")
    assert code == 0
    assert output.startswith("toy: nothing to do")


def test_until_runs_what_a_stage_needs_and_only_runs_it_alone(call: Call) -> None:
    code, _, errors = call("run", "toy.toml", "--only", "count")
    assert (code, errors) == (2, "--only count: it needs corpus, shout, not done yet; try --until count\n")
    assert call("run", "toy.toml", "--until", "shout")[0] == 0
    _, output, _ = call("plan", "toy.toml")
    assert [line.split()[1] for line in output.splitlines()[1:]] == ["done", "done", "to", "waiting", "to", "waiting"]
    assert call("run", "toy.toml", "--only", "count")[0] == 0
    _, output, _ = call("status", "toy.toml")
    assert [line.split()[1] for line in output.splitlines()[1:]] == ["done", "done", "done", "to", "to", "waiting"]


def test_a_wrong_stage_lists_the_stages(call: Call) -> None:
    code, _, errors = call("run", "toy.toml", "--until", "cuont")
    assert code == 2
    assert errors.startswith("cuont: this recipe has no such stage; did you mean count?")


def test_faults_of_a_recipe_come_line_by_line_without_a_traceback(call: Call) -> None:
    code, output, errors = call("run", "toy.toml", "--set", "shout.mrak=1", "--set", "corpus.rows=-1")
    assert (code, output) == (2, "")
    assert errors.splitlines() == [
        "recipe toy.toml: 2 faults",
        "corpus.rows: -1 is out of range; allowed: at least 0 and at most 100000",
        "shout.mrak: unknown key; did you mean mark?",
    ]


def test_debug_shows_where_it_went_wrong(call: Call) -> None:
    assert "Traceback" in call("--debug", "plan", "none.toml")[2]


def test_a_failed_run_ends_with_1_and_names_the_shard(call: Call, tmp_path: Path) -> None:
    options = [f"shout.trace={tmp_path}", "shout.trouble=row 7", "shout.kind=data"]
    code, _, errors = call("run", "toy.toml", *[part for option in options for part in ("--set", option)])
    assert code == 1
    assert errors.startswith("stage shout, shard train-00001: row 00ff: a row that cannot be\n")
    assert "what was finished is kept" in errors


def test_verify_reads_all_again_and_names_what_is_bad(call: Call, tmp_path: Path) -> None:
    call("run", "toy.toml")
    code, output, _ = call("verify", "toy.toml")
    assert code == 0
    assert "all as their manifests say" in output
    (changed,) = tmp_path.glob("runs/toy/shout-*/train-00001.parquet")
    changed.write_bytes(changed.read_bytes() + b"x")
    (lost,) = tmp_path.glob("runs/toy/total-*/total.txt")
    lost.unlink()
    code, output, _ = call("verify", "toy.toml")
    assert code == 1
    assert [line.split(": ")[0] for line in output.splitlines()] == [str(changed), str(lost)]


def test_metrics_prints_the_last_report(call: Call) -> None:
    code, _, errors = call("metrics", "toy.toml")
    assert code == 1
    assert "has no report yet; run `potstill run toy.toml` first" in errors
    call("run", "toy.toml")
    shouted = [f"ROW {n}! of 4" for n in range(20)]
    total = sum(len(text) for text in shouted)
    assert call("metrics", "toy.toml")[1] == f'{{"total": {total}, "base": 20}}\n'


def test_verify_of_a_store_with_nothing_in_it_fails_and_names_the_place(call: Call, tmp_path: Path) -> None:
    code, output, errors = call("verify", "toy.toml")
    assert (code, output) == (1, "")
    assert errors.startswith(f"{tmp_path}/runs/toy has no finished artefact of this recipe, so there is nothing to v")
    call("run", "toy.toml", "--until", "corpus")
    assert call("verify", "toy.toml")[0] == 0
    assert call("verify", "toy.toml", "--set", "run.store=rusn")[0] == 1


def test_what_is_finished_is_read_without_the_files_that_it_was_made_from(call: Call, tmp_path: Path) -> None:
    words = tmp_path / "words.txt"
    words.write_text("alpha")
    given = ("--set", f"corpus.words={words}")
    call("run", "toy.toml", *given)
    (found, verified) = (call(name, "toy.toml", *given)[1] for name in ("metrics", "verify"))
    words.unlink()
    assert call("metrics", "toy.toml", *given)[:2] == (0, found)
    assert call("verify", "toy.toml", *given)[:2] == (0, verified)
    code, _, errors = call("status", "toy.toml", *given)
    assert code == 2
    assert errors.splitlines()[1] == f"corpus.words: no such file: {words}"
    assert errors.splitlines()[2].startswith("if files are gone that the run read: what is done is found by their")
    # Of another fault nothing is said that does not help.
    _, _, errors = call("status", "toy.toml", *given, "--set", "corpus.rows=-1")
    assert "if files are gone" not in errors
    assert call("verify", "toy.toml", *given, "--set", "corpus.rows=-1")[0] == 2


def test_path_prints_the_folder_of_the_recipe_as_it_is_now(call: Call, tmp_path: Path) -> None:
    code, output, errors = call("path", "toy.toml", "shout")
    assert (code, output) == (1, "")
    assert errors == "the shout is not there yet; run `potstill run toy.toml --until shout` first\n"
    found = []
    for mark in ("!", "?"):
        (tmp_path / "toy.toml").write_text(f"[corpus]\nrows = 20\n[shout]\nmark = '{mark}'\n")
        assert call("path", "toy.toml", "shout")[0] == 1  # that of another recipe is there, but not this one's
        call("run", "toy.toml", "--until", "shout")
        code, output, _ = call("path", "toy.toml", "shout")
        assert code == 0
        found.append(Path(output.removesuffix("\n")))
        assert json.loads((found[-1] / "manifest.json").read_text())["config"]["mark"] == mark
    assert set(found) == set(tmp_path.glob("runs/toy/shout-*"))
    assert call("path", "toy.toml", "shuot")[2].startswith("shuot: this recipe has no such stage; did you mean shout?")


def test_two_runs_of_a_recipe_do_not_meet(call: Call, tmp_path: Path) -> None:
    (tmp_path / "runs" / "toy").mkdir(parents=True)
    command = (
        "import fcntl, sys, time; f = open('runs/toy/.lock', 'w'); fcntl.flock(f, fcntl.LOCK_EX);"
        "print('held', flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", command], stdout=subprocess.PIPE, cwd=tmp_path) as holder:
        assert holder.stdout and holder.stdout.readline() == b"held\n"
        code, _, errors = call("run", "toy.toml")
        holder.kill()
    assert code == 1
    assert "another run is at work in" in errors


def test_tune_prints_its_table_and_the_command_of_the_best(call: Call, tmp_path: Path) -> None:
    tune = '[tune]\ntrials = 3\nmetric = "valid_loss"\n[tune.space]\n"student.x" = {low = -1.0, high = 1.0}\n'
    (tmp_path / "toy.toml").write_text(f"[corpus]\nrows = 20\n[student]\n{tune}")
    code, output, _ = call("tune", "toy.toml", "--set", "tune.sampler=random", "--trials", "2")
    assert code == 0
    lines = output.splitlines()
    assert sum("student: done" in line for line in lines) == 2
    table = lines.index(next(line for line in lines if line.startswith("trial  state")))
    best = min(float(line.split()[2]) for line in lines[table + 1 : table + 3])
    assert float(lines[table + 1].split()[2]) == best
    assert lines[-3].startswith("  potstill run toy.toml --set student.x=")
    assert Path(lines[-1].removeprefix("folder: ")) in set(tmp_path.glob("runs/toy/tune-*"))


def test_translate_answers_every_line_with_one_line(tmp_path: Path) -> None:
    code = (
        "import stages.loaded_model.translate; from pipeline.cli.app import main;"
        "stages.loaded_model.translate.translate_lines = lambda folder, lines, *, beam_size, threads, **languages:"
        " (f'{folder.name} {beam_size} {threads} {line[::-1]}' for line in lines);"
        "main(['translate', 'model', '--beam', '3', '--threads', '2'])"
    )
    given = "grün\r\n\na\u2028b".encode() + b"\nx\xffy"
    output = subprocess.run([sys.executable, "-c", code], input=given, capture_output=True, check=True).stdout
    answers = ["\rnürg", "", "b\u2028a", "y\ufffdx"]
    assert output == "".join(f"model 3 2 {answer}\n" for answer in answers).encode()


def test_help_names_every_command(call: Call) -> None:
    code, output, _ = call("--help")
    assert code == 0
    commands = (
        "run",
        "tune",
        "plan",
        "status",
        "verify",
        "metrics",
        "path",
        "translate",
        "export-text",
        "export-teacher",
    )
    assert all(f"  {command} " in output for command in commands)


def test_planning_imports_nothing_heavy() -> None:
    heavy = (
        "torch",
        "onmt",
        "ctranslate2",
        "sentencepiece",
        "transformers",
        "sacrebleu",
        "pandas",
        "dask",
        "rich",
        "optuna",
    )
    load = "import sys, pipeline.cli.app, pipeline.running.launch"
    code = f"{load}; print([name for name in {heavy!r} if name in sys.modules])"
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert output == "[]\n"


def test_new_writes_a_recipe_says_what_next_and_writes_over_none(call: Call, tmp_path: Path) -> None:
    (tmp_path / "a.en").write_text("Turn on the light\n")
    (tmp_path / "a.de").write_text("Schalte das Licht ein\n")
    given = ("new", "mine.toml", "--from", "en", "--to", "de", "--source", "a.en", "--target", "a.de")
    (tmp_path / "model.pt").touch()
    code, output, _ = call(*given, "--teacher", "model.pt")
    assert code == 0
    assert "potstill plan mine.toml" in output
    assert 'kind = "opennmt"' in (tmp_path / "mine.toml").read_text()
    code, _, errors = call(*given, "--teacher", "model.pt")
    assert (code, errors) == (2, "mine.toml is there already; give another name, or --force\n")
    code, _, errors = call("new", "other.toml", "--from", "en", "--to", "de", "--source", "a.en")
    assert (code, errors) == (2, "--source is given 1 times and --target 0; each needs its other side\n")


def test_doctor_prints_a_table_or_json(call: Call) -> None:
    code, output, _ = call("doctor")
    assert code == 0
    assert "torch" in output
    assert json.loads(call("doctor", "--json")[1])["ok"] is True
