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
    from pipeline.recipe.rules.columns import column_rule_faults
    from pipeline.recipe.rules.datasets import dataset_faults
    from pipeline.recipe.rules.fusion import fusion_faults
    from pipeline.recipe.rules.given import given_teacher_faults
    from pipeline.recipe.rules.hypotheses import length_faults, nbest_faults
    from pipeline.recipe.rules.language import language_faults
    from pipeline.recipe.rules.noise import noise_faults
    from pipeline.recipe.rules.online import online_term_faults
    from pipeline.recipe.rules.schedules import schedule_faults
    from pipeline.recipe.rules.soft_targets import soft_target_faults
    from pipeline.recipe.rules.start import start_faults
    from pipeline.recipe.rules.student_tokenizer import student_tokenizer_faults
    from pipeline.recipe.rules.teacher import checkpoint_faults, decoder_only_faults, tokenizer_faults
    from pipeline.recipe.rules.teacher_pairs import teacher_pair_faults

    return (
        checkpoint_faults,
        start_faults,
        online_term_faults,
        soft_target_faults,
        nbest_faults,
        schedule_faults,
        dataset_faults,
        decoder_only_faults,
        given_teacher_faults,
        tokenizer_faults,
        student_tokenizer_faults,
        fusion_faults,
        language_faults,
        teacher_pair_faults,
        length_faults,
        column_rule_faults,
        noise_faults,
    )
