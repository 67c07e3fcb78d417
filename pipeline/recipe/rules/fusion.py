"""Faults between the sections of several teachers: whose soft targets cannot become one, and what knows but one."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from pydantic import BaseModel

from data.errors import ModelError
from data.model_folder import read_vocabulary, vocabulary_digest
from data.teachers import node_of, section_of
from pipeline.recipe.faults import did_you_mean
from stages.evaluate import stage as evaluate
from stages.fuse import stage as fuse
from stages.score import stage as score
from stages.teacher import stage as teacher

_ALONE = "set soft_targets = false for the further teachers"


def fusion_faults(configs: Mapping[str, BaseModel]) -> Iterator[str]:
    """Faults of fuse, and of what knows one teacher alone, as far as their sections are there."""
    yield from _attribution_knows_one_teacher(configs)
    fused, stored = configs.get("fuse"), configs.get("score")
    if not isinstance(fused, fuse.Config):
        return
    for name in fused.weights:
        if name not in fused.teachers:
            yield f"fuse.weights.{name}: no teacher whose soft targets are fused{did_you_mean(name, fused.teachers)}"
    if isinstance(stored, score.Config):
        yield from _not_fusible(stored)
    yield from _other_vocabularies(configs, fused)


def _attribution_knows_one_teacher(configs: Mapping[str, BaseModel]) -> Iterator[str]:
    evaluated = configs.get("evaluate")
    if "pool" in configs and isinstance(evaluated, evaluate.Config) and evaluated.attribution:
        yield (
            "evaluate.attribution: it asks one teacher for hypotheses of the test set, and this recipe's targets come "
            "from several; set it to false"
        )


def _not_fusible(stored: score.Config) -> Iterator[str]:
    advice = f"leave it out, or {_ALONE}"
    if stored.mode != "topk":
        yield f"score.mode: {stored.mode!r} soft targets of several teachers cannot be fused; {advice}"
    if stored.temperatures:
        yield (
            "score.temperatures: the tail of a mean of several teachers is known at temperature 1 alone, and not at "
            f"{', '.join(f'{each:g}' for each in stored.temperatures)}; {advice}"
        )


def _other_vocabularies(configs: Mapping[str, BaseModel], fused: fuse.Config) -> Iterator[str]:
    """Those that can be told from the recipe and from folders that are there; all others when fuse begins."""
    given = [(name, configs.get(node_of("teacher", name))) for name in fused.teachers]
    trained = {name: one.architecture for name, one in given if isinstance(one, teacher.Config) and one.kind == "train"}
    if len(set(trained.values())) > 1:
        told = ", ".join(f"{section_of(name)} is {architecture}" for name, architecture in trained.items())
        yield f"fuse: {told}: a language model has tokens of its own in its vocabulary; {_ALONE}"
    known = {name: digest for name in fused.teachers if (digest := _digest(configs.get(node_of("teacher", name))))}
    first = next(iter(known), "")
    for name, digest in known.items():
        if digest != known[first]:
            yield (
                f"{section_of(name)}: its target vocabulary has the digest {digest}, and that of {section_of(first)} "
                f"{known[first]}: equal ids mean other tokens, so their soft targets cannot be fused; set "
                f"teachers.{name}.soft_targets = false, and it gives hypotheses alone"
            )


def _digest(config: BaseModel | None) -> str:
    """Of the target vocabulary of a folder by CTranslate2; empty where it cannot be told yet."""
    if not isinstance(config, teacher.Config) or config.kind != "ctranslate2" or config.path is None:
        return ""
    try:
        return vocabulary_digest(read_vocabulary(Path(config.path), "target"))
    except (ModelError, OSError):
        return ""
