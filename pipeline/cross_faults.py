"""Options that are right each for itself, but not together: what would otherwise fail hours into a run."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from pydantic import BaseModel

# Kinds of teacher that come with an OpenNMT-py checkpoint.
WITH_CHECKPOINT = {"train", "opennmt"}


def cross_faults(configs: Mapping[str, BaseModel]) -> list[str]:
    """Faults between sections, by node; stages that are not there, or had faults of their own, are left out."""
    options = {name: config.model_dump() for name, config in configs.items()}
    return [
        *_torch_needs_a_checkpoint(options),
        *(fault for rule in _rules(configs) for fault in rule(configs)),
        *_attribution_knows_one_teacher(options),
    ]


def _rules(configs: Mapping[str, BaseModel]) -> Sequence[Callable[[Mapping[str, BaseModel]], Iterable[str]]]:
    """Those that know the stages' own configs. Imported only where there are any: they import all stages."""
    if not any(type(config).__module__.startswith("stages.") for config in configs.values()):
        return ()
    from pipeline.decoder_only_faults import decoder_only_faults
    from pipeline.fusion_faults import fusion_faults
    from pipeline.language_faults import language_faults
    from pipeline.online_faults import online_term_faults
    from pipeline.soft_target_faults import soft_target_faults
    from pipeline.start_faults import start_faults
    from pipeline.student_tokenizer_faults import student_tokenizer_faults

    return (
        start_faults,
        online_term_faults,
        soft_target_faults,
        decoder_only_faults,
        student_tokenizer_faults,
        fusion_faults,
        language_faults,
    )


def _torch_needs_a_checkpoint(options: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    kind = options.get("teacher", {}).get("kind")
    if kind and kind not in WITH_CHECKPOINT and options.get("score", {}).get("backend") == "torch":
        yield (
            f"score.backend: 'torch' needs a teacher with an OpenNMT-py checkpoint, but teacher.kind is {kind!r}; "
            "set it to 'ctranslate2' or 'auto'"
        )


def _attribution_knows_one_teacher(options: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    if "pool" in options and options.get("evaluate", {}).get("attribution"):
        yield (
            "evaluate.attribution: it asks one teacher for hypotheses of the test set, and this recipe's targets come "
            "from several; set it to false"
        )
