"""Fidelity: how like the teacher's translations those of another system are, whatever the references say.

A student can be good and unlike its teacher, or like it and no better (Stanton et al. 2021,
https://arxiv.org/abs/2106.05945). The teacher's own other beam, measured in the same way, says how much is search.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from stages.evaluate.quality import Scoring, score_systems


def measure_fidelity(translated: Mapping[str, Sequence[str]], scoring: Scoring) -> dict[str, dict[str, Any]]:
    """Of every system but the teacher, BLEU and chrF with the teacher's translations as references.

    {system: {"bleu", "bleu_interval", "chrf", "chrf_interval", "equal", "sentences", "signatures"}}; `equal` counts the
    sentences that both translate to the same text.
    """
    teacher = translated["teacher"]
    others = {name: lines for name, lines in translated.items() if name != "teacher"}
    found = score_systems(others, teacher, scoring, ("bleu", "chrf"))
    for name, lines in others.items():
        found[name]["equal"] = sum(text == expected for text, expected in zip(lines, teacher, strict=True))
        found[name]["sentences"] = len(teacher)
    return found
