"""What is said of the systems beside their scores, and how the student compares with the others."""

from collections.abc import Collection, Mapping
from typing import Any

from stages.evaluate.given import GivenSystem
from stages.evaluate.speed import Timing
from stages.evaluate.systems import System


def describe(system: System, timing: Timing) -> dict[str, Any]:
    """Size and speed of a model."""
    return {
        "role": system.role,
        "name": system.name,
        "beam": system.beam,
        "parameters": system.parameters,
        "bytes": system.bytes,
        "quantization": system.quantization,
        "compute_type": str(system.translator.model.compute_type),
        "sentences_per_second": timing.sentences_per_second,
        "sentences_per_second_range": list(timing.sentences_per_second_range),
        "tokens_per_second": timing.tokens_per_second,
        "tokens": timing.tokens,
        "seconds": list(timing.seconds),
    }


def describe_given(system: GivenSystem) -> dict[str, Any]:
    """Of what is no model there is neither."""
    return {"role": "teacher", "name": system.name, "given": True, "made_by": system.made_by}


def compared_pairs(systems: Collection[str]) -> list[tuple[str, str]]:
    """Which of the systems are held against which."""
    wanted = [("student", "teacher"), ("student", "baseline"), ("baseline", "teacher")]
    return [(system, against) for system, against in wanted if {system, against} <= set(systems)]


def ratios(systems: Mapping[str, Mapping[str, Any]]) -> dict[str, float]:
    """Student against teacher and baseline, as far as both have what is compared."""

    def speedup(fast: str, slow: str) -> float:
        return float(systems[fast]["sentences_per_second"] / systems[slow]["sentences_per_second"])

    found, student = dict[str, float](), systems["student"]
    if "teacher" in systems:
        teacher = systems["teacher"]
        found["chrf_vs_teacher"] = student["chrf"] / teacher["chrf"] if teacher["chrf"] else 0.0
        if "parameters" in teacher:
            found["speedup_vs_teacher"] = speedup("student", "teacher")
            found["parameters_vs_teacher"] = student["parameters"] / teacher["parameters"]
            found["bytes_vs_teacher"] = student["bytes"] / teacher["bytes"]
            same_beam = (f"student_beam{teacher['beam']}", f"teacher_beam{student['beam']}")
            if set(same_beam) <= set(systems):
                found[f"speedup_both_beam{teacher['beam']}"] = speedup(same_beam[0], "teacher")
                found[f"speedup_both_beam{student['beam']}"] = speedup("student", same_beam[1])
    if "baseline" in systems:
        found["chrf_gain_vs_baseline"] = student["chrf"] - systems["baseline"]["chrf"]
    return found
