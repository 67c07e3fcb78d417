"""What the student learns of rows whose noise it alone reads: targets that follow, and soft targets that stay true."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest
import torch

from data.artifact import Artifact
from data.model_folder import read_vocabulary
from data.soft_targets import SoftTargetFormat
from stages.noise.reading import REWRITTEN, as_student_reads
from stages.student.further_config import DatasetConfig
from stages.student.further_rows import further_datasets
from stages.student.noise import HardWhereRewritten, NoisyReading
from stages.text.tokenizer import load_tokenizer
from stages.training.batches.batches import Stream
from stages.training.batches.soft_columns import SoftTargetColumns
from stages.training.objective.loss import Objective, loss_sums
from stages.training.objective.teacher_distribution import of_batch
from stages.training.vocabulary import Vocabulary
from tests.fixtures import distilled
from tests.fixtures.artifacts import artifact_of_tables, closed, new_artifact, words_tokenizer
from tests.stages.student.test_student import ROWS, artifacts, curve, dataset_table, out_of_english, run

VOCABULARY = Vocabulary.from_tokens(["ein", "haus", "EIN", "HAUS", "w", ".", "Ein", "da"])
# Its entries reach ids of ordinary tokens.
WIDER = distilled.FORMAT.model_copy(update={"k": 16})
SAMPLED = distilled.FORMAT.model_copy(update={"mode": "sampled", "k": 0, "draws": 6})


def table(*rows: tuple[str, list[str] | str, str | None, str | None]) -> pa.Table:
    columns: dict[str, Any] = {"source": [row[0] for row in rows], "target": [row[1] for row in rows]}
    columns |= {"noise": pa.array([row[2] for row in rows], pa.string())}
    columns |= {"student_source": pa.array([row[3] for row in rows], pa.string())}
    return pa.table({**columns, "source_language": ["en"] * len(rows), "target_language": ["de"] * len(rows)})


@pytest.mark.parametrize("as_tokens", [True, False])
def test_the_student_reads_noise_and_a_target_that_follows(tmp_path: Path, as_tokens: bool) -> None:
    def target(*words: str) -> Any:
        return list(words) if as_tokens else " ".join(words)

    rows = table(
        ("a house", target("ein", "haus"), None, None),
        ("a house", target("ein", "haus"), "upper_case", "A HOUSE"),
        ("a house", target("ein", "haus"), "typos", "a huose"),
        # `DA` is no word of the vocabulary.
        ("there", target("da"), "upper_case", "THERE"),
    )
    tokenizer = load_tokenizer(words_tokenizer(tmp_path).path())
    read = as_student_reads(rows, "target", tokenizer, frozenset(VOCABULARY.tokens))
    assert read["source"].to_pylist() == ["a house", "A HOUSE", "a huose", "there"]
    assert read["target"].to_pylist() == [
        target("ein", "haus"), target("EIN", "HAUS"), target("ein", "haus"), target("da")
    ]  # fmt: skip
    assert read[REWRITTEN].to_pylist() == [False, True, False, False]


def noisy_rows(target_format: SoftTargetFormat, every: int) -> tuple[pa.Table, pa.Table]:
    """A shard of the made-up dataset, and the same with every so many rows in capitals, read by the student."""
    corpus = distilled.rows_of_corpus()["train-00000"]
    tokens = [[f"▁w{word}" for word in range(number + 1)] for number in range(len(corpus))]
    soft = distilled.soft_targets(corpus, tokens, target_format).append_column("target_tokens", pa.array(tokens))
    flags = [number % every == 0 for number in range(len(tokens))]
    written = [["▁w9", *each] if flag else each for each, flag in zip(tokens, flags, strict=True)]
    place = soft.column_names.index("target_tokens")
    noisy = soft.set_column(place, "target_tokens", pa.array(written)).append_column(REWRITTEN, pa.array(flags))
    return soft, noisy


def objectives() -> list[Objective]:
    base = [Objective(soft_target_weight=0.7), Objective(soft_target_weight=0.7, missing_mass="gold")]
    return [
        *base,
        Objective(soft_target_weight=0.7, missing_mass="renormalise", temperature=2.0),
        Objective(soft_target_weight=1.0, temperature=2.0, tempering="buckets"),
    ]


@pytest.mark.parametrize("every", [1, 2, 100])
@pytest.mark.parametrize("target_format", [distilled.FORMAT, WIDER, SAMPLED], ids=["topk", "wider", "sampled"])
def test_a_row_with_another_target_learns_its_tokens_as_from_a_teacher_that_is_certain(
    target_format: SoftTargetFormat, every: int
) -> None:
    soft, noisy = noisy_rows(target_format, every)
    vocabulary = Vocabulary.from_tokens(distilled.VOCABULARY)
    inner = SoftTargetColumns(distilled.VOCABULARY, vocabulary)
    read = HardWhereRewritten(inner, vocabulary).read(noisy)
    # By hand: of rows that were not rewritten what the reader says of them, one after the other.
    flags, tokens = noisy[REWRITTEN].to_pylist(), noisy["target_tokens"].to_pylist()
    lengths = [len(each) + 1 for each in tokens]
    own = np.repeat(flags, lengths)
    ids = [token for each in tokens for token in [*(vocabulary.tokens.index(one) for one in each), 3]]
    kept = inner.read(soft.filter(pa.array([not flag for flag in flags])))
    batch = {}
    for name, values in read.items():
        full = values if isinstance(values, np.ndarray) else values.padded(np.arange(len(own)), 0)
        if not own.all():
            of_rows = kept[name]
            known = of_rows if isinstance(of_rows, np.ndarray) else of_rows.padded(np.arange((~own).sum()), 0)
            width = known.shape[1] if known.ndim == 2 else None
            assert np.array_equal(full[~own][..., :width], known)
        batch[name] = torch.tensor(full[own].astype(np.int64 if name in {"kd_ids", "kd_counts"} else np.float32))
    targets = torch.tensor(np.array(ids)[own])
    if not len(targets):
        return
    torch.manual_seed(0)
    hidden, weight = torch.randn(len(targets), 8, requires_grad=True), torch.randn(len(vocabulary), 8)
    logits = hidden.detach().double() @ weight.double().T
    for objective in objectives() if target_format.mode == "topk" else [Objective(soft_target_weight=0.7)]:
        sums = loss_sums(hidden, weight, torch.zeros(len(vocabulary)), targets, of_batch(batch, 1.0), objective)
        tau = objective.temperature
        hard = torch.nn.functional.cross_entropy(logits, targets, reduction="sum")
        tempered = torch.nn.functional.cross_entropy(logits / tau, targets, reduction="sum")
        wanted = hard + objective.soft_target_weight * tau**2 * (hard if objective.tempering == "buckets" else tempered)
        if objective.tempering == "buckets":
            # The others of the student are one bucket before they are tempered.
            wanted = hard + objective.soft_target_weight * tau**2 * bucketed(logits, batch["kd_ids"], targets, tau)
        assert math.isclose(float(sums.loss.detach()), float(wanted), rel_tol=1e-4)
        sums.loss.backward()
        assert hidden.grad is not None
        assert torch.isfinite(hidden.grad).all()
        hidden.grad = None


def bucketed(logits: torch.Tensor, ids: torch.Tensor, targets: torch.Tensor, tau: float) -> torch.Tensor:
    """-log of the target's share among K + 1 buckets, tempered: those kept, and all others together."""
    probs = torch.softmax(logits, 1)
    kept = probs.gather(1, ids)
    buckets = torch.cat([kept, 1 - kept.sum(1, keepdim=True)], 1) ** (1 / tau)
    gold = probs.gather(1, targets[:, None]) ** (1 / tau)
    return -(gold[:, 0] / buckets.sum(1)).log().sum()


def test_a_stream_learns_what_its_epoch_drew(tmp_path: Path) -> None:
    """Noise comes after what an epoch draws, such as another hypothesis."""
    rows = table(("a house", ["w"], "upper_case", "A HOUSE"))

    def drawn(found: pa.Table, turns: npt.NDArray[np.int64]) -> pa.Table:
        return found.set_column(1, "target", pa.array([["ein"] if turn else ["haus"] for turn in turns]))

    reading = NoisyReading(load_tokenizer(words_tokenizer(tmp_path).path()), VOCABULARY)
    draw = reading.of(Stream("nbest", [lambda: rows], "target", draw=drawn)).draw
    assert draw is not None
    read = [draw(rows, np.array([turn])) for turn in (0, 1)]
    assert [one["target"].to_pylist() for one in read] == [[["HAUS"]], [["EIN"]]]
    assert read[0]["source"].to_pylist() == ["A HOUSE"]


def test_who_learns_from_noise_must_say_with_which_subwords(tmp_path: Path) -> None:
    from stages.student.noise import as_learned

    made = distilled.artifact(tmp_path, "corpus", {}, metrics={"noise": {"read_by": "student"}})
    with pytest.raises(ValueError, match="noise for the student"):
        as_learned(Stream("reference", [], "reference"), made, None)
    other: Artifact = distilled.artifact(tmp_path / "b", "corpus", {}, metrics={"noise": {"read_by": "teacher"}})
    stream = Stream("reference", [], "reference")
    assert as_learned(stream, other, None) is stream


def noisy_dataset(vocabulary: list[str]) -> pa.Table:
    """Of three rows the second is in capitals, the third has a typo."""
    rows = out_of_english(dataset_table(vocabulary))
    kinds = [(None, "upper_case", "typos")[number % 3] for number in range(ROWS)]
    read = [kind and f"a{number % 9}" for number, kind in enumerate(kinds)]
    return rows.append_column("noise", pa.array(kinds, pa.string())).append_column(
        "student_source", pa.array(read, pa.string())
    )


@pytest.mark.parametrize(("follows", "left_clean"), [("a1 a2 a3", False), ("A1", True)])
def test_it_trains_on_rows_that_follow_their_noise_among_others(
    tmp_path: Path,
    tiny_teacher: Path,
    monkeypatch: pytest.MonkeyPatch,
    follows: str,
    left_clean: bool,
) -> None:
    """Through the stage: targets of three words in place of those that soft targets are of, or of an unknown one."""
    monkeypatch.setattr(
        "stages.noise.reading.followed", lambda text, kind, *rest: follows if kind == "upper_case" else text
    )
    vocabulary = read_vocabulary(tiny_teacher, "target")
    inputs = artifacts(tmp_path, tiny_teacher, noisy_dataset(vocabulary))
    made = new_artifact(tmp_path / "other", "dataset")
    made.write_shard("train-00000", noisy_dataset(vocabulary))
    inputs["dataset"] = closed(made, {"noise": {"read_by": "student"}})
    folder, metrics = run(tmp_path, inputs)
    third = [len(range(first, ROWS, 3)) for first in range(3)]
    assert metrics["noise"] == {
        "rows": third[2] + (0 if left_clean else third[1]),
        "rewritten_targets": 0 if left_clean else third[1],
        "left_clean": third[1] if left_clean else 0,
    }
    assert (metrics["rows"], metrics["skipped_rows"]) == (ROWS, 0)
    losses = [line["divergence"] for line in curve(folder) if "divergence" in line]
    assert losses
    assert all(math.isfinite(loss) and loss > 0 for loss in losses)


@pytest.mark.parametrize("read_by", ["teacher", ""])
def test_noise_hides_no_held_out_text_of_a_further_dataset(tmp_path: Path, read_by: str) -> None:
    """The clean source, and the clean reference, of a row are what is looked for."""
    clean = {"clean_source": ["turn it on", None, None], "clean_reference": [None, "mach es an", None]}
    columns: dict[str, Any] = {
        "source": ["trun it on", "A HOUSE", "else"],
        "reference": ["an", "MACHE ES", "sonst"],
        "target": ["ein", "MACH", "anders"],
        "source_language": ["en"] * 3,
        "target_language": ["de"] * 3,
        **{name: pa.array(values, pa.string()) for name, values in clean.items()},
    }
    other = new_artifact(tmp_path / "other", "dataset")
    other.write_shard("train-00000", pa.table(columns))
    closed(other, {"noise": {"read_by": read_by}} if read_by else {})
    test = pa.table(
        {"source": ["Turn it on.", "x"], "reference": ["y", "Mach es an!"], "source_language": ["en"] * 2}
    ).append_column("target_language", pa.array(["de"] * 2))
    corpus = artifact_of_tables(tmp_path, "corpus", {"test-00000": test})
    [found] = further_datasets([DatasetConfig(name="other", path=str(other.path()))], corpus)
    left_out = {shard: places.tolist() for shard, places in found.left_out.items()}
    assert left_out == ({"train-00000": [0, 1]} if read_by else {})
