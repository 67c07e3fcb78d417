"""COMET, a learned metric (https://aclanthology.org/2020.emnlp-main.213), where its package and a model are at hand.

Package and model are gigabytes and slow without a GPU, so neither is needed for anything else, and nothing is ever
downloaded: what is missing is said in words, and the evaluation goes on without it.
"""

import importlib
import importlib.metadata
import importlib.util
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from data.errors import ModelError
from stages.evaluate.quality import Scoring
from stages.evaluate.resampling import mean_interval

PACKAGE = "unbabel-comet"
_CHECKPOINT = "checkpoints/model.ckpt"


class Config(BaseModel):
    """COMET, if a model is named: it costs a pass of a large model over every system's output, so by choice."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str = Field(
        "",
        description="a checkpoint, its folder, or a name whose files lie in the Hugging Face cache, such as "
        "Unbabel/wmt22-comet-da; empty: no COMET",
    )
    batch_size: int = Field(16, ge=1, description="sentences in a batch")


class AbsentError(Exception):
    """COMET cannot be had here; says why and what to do."""


def score_comet(
    hypotheses: Mapping[str, Sequence[str]],
    sources: Sequence[str],
    references: Sequence[str],
    config: Config,
    scoring: Scoring,
    device: str,
) -> dict[str, Any]:
    """{"model", "signature", "systems": {name: {"comet", "comet_interval"}}}, or {"model", "absent": why}.

    A score is the mean of the model's scores of sentences, mostly 0..1, as the model gives it. Raises ModelError when
    package and model are there and do not work together.
    """
    try:
        path = _find(config.model)
    except AbsentError as absent:
        return {"model": config.model, "absent": str(absent)}
    model = _load(path)
    gpus, kind = (1, "gpu") if device == "cuda" else (0, "cpu")
    found = {}
    for name, lines in hypotheses.items():
        rows = zip(sources, lines, references, strict=True)
        samples = [{"src": source, "mt": line, "ref": reference} for source, line, reference in rows]
        predicted = model.predict(
            samples, batch_size=config.batch_size, gpus=gpus, accelerator=kind, progress_bar=False
        )
        scores = [float(score) for score in predicted.scores]
        interval = mean_interval(scores, scoring.samples, scoring.seed)
        found[name] = {"comet": sum(scores) / len(scores), "comet_interval": interval}
    signature = f"{config.model}|bs:{scoring.samples}|seed:{scoring.seed}|version:{_version()}"
    return {"model": config.model, "signature": signature, "systems": found}


def identity(config: Config) -> dict[str, str]:
    """What is there of package and model: with another, or none, the evaluation is another."""
    try:
        checkpoint = _find(config.model)
    except AbsentError:
        return {PACKAGE: "absent"}
    size, changed = checkpoint.stat().st_size, checkpoint.stat().st_mtime_ns
    return {PACKAGE: _version(), config.model: f"{size} {changed}"}


def _find(model: str) -> Path:
    if importlib.util.find_spec("comet") is None:
        # pip would put older versions of numpy and others beside Potstill.
        raise AbsentError(
            f"the package {PACKAGE} is not in this environment; docs/evaluation.md says how to score the translations "
            "in another"
        )
    path = Path(model)
    found = path / _CHECKPOINT if path.is_dir() else path if path.is_file() else _in_cache(model)
    if not found.is_file():
        raise AbsentError(f"{found} is not there; expected a checkpoint as {PACKAGE} keeps it")
    if not (found.parents[1] / "hparams.yaml").is_file():
        raise AbsentError(f"{found.parents[1]} has no hparams.yaml, which {PACKAGE} reads beside a checkpoint")
    return found


def _in_cache(model: str) -> Path:
    """The checkpoint of a model that was downloaded before; raises AbsentError when it was not."""
    from huggingface_hub import try_to_load_from_cache

    try:
        found = try_to_load_from_cache(model, _CHECKPOINT)
    except ValueError as error:
        raise AbsentError(f"{model} is no file, no folder and no name of a model: {error}") from error
    if not isinstance(found, str):
        raise AbsentError(
            f"{model} is not in the Hugging Face cache; hf download {model} once, where there is a network"
        )
    return Path(found)


def _load(path: Path) -> Any:
    # By name: it is no dependency, so that nothing is known of its types.
    comet = importlib.import_module("comet")
    try:
        return comet.load_from_checkpoint(str(path), local_files_only=True)
    except (OSError, RuntimeError, ValueError, KeyError, TypeError) as error:
        raise ModelError(
            f"{path}: {PACKAGE} {_version()} cannot load this model: {error}; its encoder must be in the Hugging Face "
            "cache too. Mend that, or leave evaluate.comet.model out"
        ) from error


def _version() -> str:
    try:
        return importlib.metadata.version(PACKAGE)
    except importlib.metadata.PackageNotFoundError:
        return "unknown"
