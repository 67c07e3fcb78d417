"""The text files line by line, and stock `onmt_train` on them."""

import shutil
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest

import bench
from data import schema
from data.artifact import Artifact
from data.errors import DataError, PotstillError
from data.runtime import Runtime
from stages.dataset import stage as dataset
from stages.dataset.stage import export_text
from tests.fixtures.artifacts import closed, new_artifact
from tests.fixtures.distilled import VOCABULARY, made_up_inputs
from tests.fixtures.tiny_student import write_tiny_tokenizer

STOCK = Path(bench.__file__).with_name("stock_onmt_train.py")
SPECIALS = ["<unk>", "<blank>", "<s>", "</s>"]


def made(root: Path, **others: Artifact) -> Artifact:
    output = new_artifact(root, "dataset")
    dataset.run(made_up_inputs(root) | others, dataset.Config(), output, Runtime())
    return closed(output)


@pytest.fixture(scope="module")
def made_up(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    """A made-up dataset. Do not write to it."""
    return made(tmp_path_factory.mktemp("dataset"))


def lines(path: Path) -> list[str]:
    return path.read_bytes().decode().removesuffix("\n").split("\n")


def test_all_files_are_parallel_and_hold_the_teachers_own_subwords(made_up: Artifact, tmp_path: Path) -> None:
    folder = tmp_path / "new" / "text"
    assert export_text(made_up, folder) == {"rows": 9}

    rows = pa.concat_tables(made_up.tables()).to_pylist()
    assert lines(folder / "ids.txt") == [row["id"] for row in rows]
    assert lines(folder / "source.txt") == [row["source"] for row in rows]
    assert lines(folder / "target.txt") == [row["target"] for row in rows]
    assert lines(folder / "source.tok") == [row["source"] for row in rows], "words are the tokens of kind none"
    assert lines(folder / "languages.txt") == [f"{row['source_language']}-{row['target_language']}" for row in rows]
    assert [line.split(" ") for line in lines(folder / "target.tok")] == [row["target_tokens"] for row in rows]
    words = [token for token in VOCABULARY if token not in SPECIALS]
    assert lines(folder / "source.vocab") == lines(folder / "target.vocab") == words


def test_sources_are_cut_by_the_datasets_own_tokenizer(tmp_path: Path) -> None:
    from sentencepiece import SentencePieceProcessor

    tokenizer = write_tiny_tokenizer(tmp_path / "tokenizer")
    artifact = new_artifact(tmp_path / "other", "tokenizer")
    shutil.copytree(tokenizer, artifact.work_path(), dirs_exist_ok=True)
    # The card needs what the stage tells of itself.
    metrics = {"kind": "train", "digest": "0"}
    artifact.complete(stage="tokenizer", version="1", config={}, inputs={}, libraries={}, metrics=metrics)
    export_text(made(tmp_path, tokenizer=artifact), tmp_path / "text")
    model = SentencePieceProcessor(model_file=str(tokenizer / "source.spm"))
    sources = lines(tmp_path / "text" / "source.txt")
    assert lines(tmp_path / "text" / "source.tok") == [" ".join(model.encode(text, out_type=str)) for text in sources]


def test_line_ends_inside_a_text_do_not_shift_the_lines(made_up: Artifact, tmp_path: Path) -> None:
    folder = tmp_path / "text"
    export_text(with_row(made_up, tmp_path, target="one\ntwo\u2028three\x85four"), folder)
    assert lines(folder / "target.txt")[0] == "one two three four"
    assert {len(lines(folder / name)) for name in ("ids.txt", "source.txt", "target.txt", "target.tok")} == {5}


def test_a_token_with_a_space_is_named_and_nothing_written(made_up: Artifact, tmp_path: Path) -> None:
    folder = tmp_path / "text"
    with pytest.raises(DataError, match="the token 'New York' is empty, or holds a space") as caught:
        export_text(with_row(made_up, tmp_path, target_tokens=["in", "New York"]), folder)
    assert caught.value.row_id
    assert list(folder.iterdir()) == []


def with_row(made_up: Artifact, root: Path, **first: object) -> Artifact:
    """The first shard of a dataset, its first row changed."""
    rows = made_up.read_shard("train-00000").to_pylist()
    other = new_artifact(root / "other", "dataset")
    for record in made_up.manifest().files:
        path = other.work_path() / record.name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes((made_up.path() / record.name).read_bytes())
    other.write_shard("train-00000", pa.Table.from_pylist([rows[0] | first, *rows[1:]], schema=schema.DATASET))
    return closed(other)


def test_a_place_that_cannot_be_written_to_is_named(made_up: Artifact, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(PotstillError, match=r"cannot write .*file"):
        export_text(made_up, tmp_path / "file")


@pytest.mark.slow
def test_stock_onmt_train_takes_it_as_it_is(made_up: Artifact, tmp_path: Path) -> None:
    import torch

    pytest.importorskip("pyonmttok", reason="pyonmttok has no wheels beyond Python 3.12")

    folder = tmp_path / "text"
    export_text(made_up, folder)
    shape = "-encoder_type transformer -decoder_type transformer -layers 1 -hidden_size 8 -word_vec_size 8 -heads 2"
    training = "-transformer_ff 8 -train_steps 2 -save_checkpoint_steps 2 -batch_size 4 -num_workers 0 -bucket_size 8"
    command = [sys.executable, str(STOCK), "-config", "onmt_train.yaml", *shape.split(), *training.split()]
    done = subprocess.run(
        command,
        cwd=folder,
        capture_output=True,
        text=True,
        env={"OMP_NUM_THREADS": "1", "PATH": ""},
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    # A file that the test itself had made; its options are a namespace.
    saved = torch.load(folder / "student_step_2.pt", weights_only=False)
    words = [token for token in VOCABULARY if token not in SPECIALS]
    assert saved["vocab"]["src"][: 4 + len(words)] == [*SPECIALS, *words]
    assert saved["vocab"]["tgt"][: 4 + len(words)] == [*SPECIALS, *words]
