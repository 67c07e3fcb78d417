"""A dataset with made-up soft targets on a real text: for figures that do not hang on what the teacher thinks."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from bench.fixtures import close, new_artifact
from data.artifact import Artifact
from data.model_folder import read_vocabulary, vocabulary_digest
from data.soft_targets import SoftTargetFormat, pack, smallest_ids_dtype
from stages.text.tokenizer import load_tokenizer


def made_up_dataset(inputs: Mapping[str, Artifact], folder: Path, k: int) -> Artifact:
    """The columns of a dataset that a student reads: the corpus's references with made-up soft targets of K entries."""
    tokenizer = load_tokenizer(inputs["tokenizer"].path())
    vocabulary = read_vocabulary(inputs["teacher"].path(), "target")
    dataset = new_artifact(folder, "dataset")
    for name in inputs["corpus"].shard_names("train-"):
        table = inputs["corpus"].read_shard(name, ("id", "source", "reference"))
        table = table.filter(table["reference"].is_valid())
        if not table.num_rows:
            continue
        tokens = tokenizer.encode_target(table["reference"].to_pylist())
        soft = _made_up_soft_targets(table["id"].to_pylist(), tokens, vocabulary, k)
        soft = soft.append_column("source", table["source"]).append_column("target_tokens", [tokens])
        dataset.write_shard(name, soft)
    return close(dataset)


def _made_up_soft_targets(ids: list[str], tokens: list[list[str]], vocabulary: Sequence[str], k: int) -> pa.Table:
    """The forced token first, random others after it, the same fall of probability everywhere: time looks at none."""
    places = {token: place for place, token in enumerate(vocabulary)}
    forced = [places.get(token, 0) for row in tokens for token in (*row, "</s>")]
    shape = SoftTargetFormat(
        k=k, vocabulary_size=len(vocabulary), ids_dtype=smallest_ids_dtype(len(vocabulary)),
        vocabulary_digest=vocabulary_digest(vocabulary), teacher_digest="made up",
        compute_type="float32", backend="made up",
    )  # fmt: skip
    probabilities = 0.5 ** np.arange(1, k + 1)
    log_probs: npt.NDArray[np.float64] = np.tile(np.log(probabilities), (len(forced), 1))
    tail = np.full(len(forced), np.log(1 - probabilities.sum()))
    return pack(
        row_ids=ids, lengths=[len(row) + 1 for row in tokens], conditioning="reference",
        topk_ids=_distinct(np.array(forced), len(vocabulary), k),
        topk_log_probs=log_probs, tail_log_mass=tail, token_log_probs=log_probs[:, 0], entropy=np.zeros(len(forced)),
        target_format=shape,
    )  # fmt: skip


def _distinct(first: npt.NDArray[np.int64], size: int, k: int) -> npt.NDArray[np.int64]:
    """[N, K] ids below `size`, no two of a row the same, scattered over the vocabulary."""
    steps = np.random.default_rng(1).permutation(size - 1)[: k - 1] + 1
    ids: npt.NDArray[np.int64] = (first[:, None] + np.concatenate([[0], steps])[None, :]) % size
    return ids
