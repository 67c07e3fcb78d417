"""A teacher of some language pairs: what it is trained on, and what it says of the rows of others."""

import math
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from data.artifact import Artifact
from data.model_folder import load_teacher_info, save_teacher_info
from data.runtime import Runtime
from data.soft_targets import SoftTargetFormat, unpack
from stages.score import stage as score
from stages.teacher import stage as teacher
from tests.fixtures.artifacts import artifact_of_folder, artifact_of_tables, new_artifact, words_tokenizer
from tests.fixtures.tiny_teacher import TinyShape

V, K = len(TinyShape().vocabulary()), 5
TARGETS = (["a1", "a2"], ["a3"], [])


def table(languages: list[str]) -> pa.Table:
    rows = len(TARGETS)
    return pa.table(
        {
            "id": [f"{number:032x}" for number in range(rows)],
            "source": ["a5 a6", "a7", "a8"],
            "source_language": ["en"] * rows,
            "target_language": languages,
            "target_tokens": pa.array(TARGETS, pa.list_(pa.string())),
            "metric": ["chrf"] * rows,
        }
    )


def artifacts(store: Path, folder: Path, pairs: tuple[str, ...]) -> dict[str, Artifact]:
    own = shutil.copytree(folder, store / "own")
    save_teacher_info(own, load_teacher_info(own).model_copy(update={"pairs": pairs}))
    return {"teacher": artifact_of_folder(store, "teacher", own), "tokenizer": words_tokenizer(store)}


def scored(inputs: dict[str, Artifact], **options: Any) -> pa.Table:
    config = score.Config.model_validate({"k": K, "backend": "ctranslate2", **options})
    return score.run(table(["de", "fr", "fr"]), config, score.load(config, inputs, Runtime()))


@pytest.mark.parametrize("encoding", ["exact", "compact"])
def test_of_other_languages_every_entry_is_as_probable_as_any_other(
    tmp_path: Path, tiny_teacher: Path, encoding: str
) -> None:
    german, *french = unpack(scored(artifacts(tmp_path, tiny_teacher, ("en-de",)), encoding=encoding))
    everything = unpack(scored(artifacts(tmp_path / "all", tiny_teacher, ()), encoding=encoding))[0]
    np.testing.assert_array_equal(german.topk_ids, everything.topk_ids)
    np.testing.assert_array_equal(german.topk_log_probs, everything.topk_log_probs)
    for row, target in zip(french, TARGETS[1:], strict=True):
        assert row.topk_ids.shape == (len(target) + 1, K)
        np.testing.assert_allclose(row.topk_log_probs, -math.log(V), atol=0.25)
        np.testing.assert_allclose(row.tail_log_mass, math.log((V - K) / V), atol=0.02)
        np.testing.assert_allclose(row.entropy, math.log(V), atol=0.05)


def test_soft_targets_say_which_pairs_their_teacher_is_for(tmp_path: Path, tiny_teacher: Path) -> None:
    known = SoftTargetFormat.of(scored(artifacts(tmp_path, tiny_teacher, ("en-de",))).schema)
    assert (known.is_for("en-de"), known.is_for("en-fr")) == (True, False)
    assert SoftTargetFormat.of(scored(artifacts(tmp_path / "all", tiny_teacher, ())).schema).is_for("en-fr")


def test_it_is_trained_on_the_rows_of_its_pairs_alone(tmp_path: Path) -> None:
    rows = 40
    pairs = pa.table(
        {
            "source": [f"a{number % 7} b{number % 5}" for number in range(rows)],
            "reference": [f"c{number % 7} d{number % 5}" for number in range(rows)],
            "source_language": ["en"] * rows,
            "target_language": ["de" if number % 4 else "fr" for number in range(rows)],
        }
    )
    inputs = {
        "corpus": artifact_of_tables(tmp_path, "corpus", {"train-00000": pairs, "valid-00000": pairs}),
        "tokenizer": words_tokenizer(tmp_path),
    }
    options = {
        "kind": "train",
        "pairs": ["en-fr"],
        "model": {"encoder_layers": 1, "decoder_layers": 1, "width": 16, "heads": 2, "feed_forward": 16},
        "optimiser": {"steps": 4, "batch_tokens": 64},
    }
    output = new_artifact(tmp_path, "teacher")
    metrics = teacher.run(inputs, teacher.Config.model_validate(options), output, Runtime())
    assert metrics["training"]["rows"] == rows // 4
    info = load_teacher_info(Path(output.work_path()))
    assert info.pairs == ("en-fr",)
    assert (info.translates("en-fr"), info.translates("en-de")) == (True, False)
