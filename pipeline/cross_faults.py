"""Options that are right each for itself, but not together: what would otherwise fail hours into a run."""

from collections.abc import Callable, Iterable, Mapping, Sequence

from pydantic import BaseModel

Rule = Callable[[Mapping[str, BaseModel]], Iterable[str]]


def cross_faults(configs: Mapping[str, BaseModel]) -> list[str]:
    """Faults between sections, by node; stages that are not there, or had faults of their own, are left out."""
    return [fault for rule in _rules(configs) for fault in rule(configs)]


def _rules(configs: Mapping[str, BaseModel]) -> Sequence[Rule]:
    """Those that know the stages' own configs. Imported only where there are any: they import all stages."""
    if not any(type(config).__module__.startswith("stages.") for config in configs.values()):
        return ()
    from pipeline.checkpoint_faults import checkpoint_faults
    from pipeline.decoder_only_faults import decoder_only_faults
    from pipeline.fusion_faults import fusion_faults
    from pipeline.language_faults import language_faults
    from pipeline.length_faults import length_faults
    from pipeline.online_faults import online_term_faults
    from pipeline.soft_target_faults import soft_target_faults
    from pipeline.start_faults import start_faults
    from pipeline.student_tokenizer_faults import student_tokenizer_faults

    return (
        checkpoint_faults,
        start_faults,
        online_term_faults,
        soft_target_faults,
        decoder_only_faults,
        student_tokenizer_faults,
        fusion_faults,
        language_faults,
        length_faults,
    )
