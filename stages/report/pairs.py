"""Each test set and each language pair alone, and apart what the student was never trained on: what the page shows."""

from collections.abc import Mapping, Sequence
from typing import Any

from stages.presentation import figures
from stages.presentation.model_card import direction_name

_ROLES = ("teacher", "student", "baseline")


def pairs_section(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """All that the section shows; where there is one pair alone, empty `pairs`."""
    found = metrics.get("pairs", [])
    if not found:
        return {"pairs": []}
    roles = [role for role in _ROLES if any(role in pair["systems"] for pair in found)]
    learned = [pair for pair in found if not pair["zero_shot"]]
    return {
        "pairs": _group(learned, roles, ""),
        "pairs_apart": _group([pair for pair in found if pair["zero_shot"]], roles, "zero-shot"),
        "pairs_roles": [role.capitalize() for role in roles],
        "pairs_note": "chrF, and below it its 95% interval, BLEU, and how many translations are in another language "
        "than was asked for. Zero-shot are directions of which the student saw no sentence in training; what it can do "
        "there it transferred from the others. A dash: not asked for this direction.",
    }


def sets_section(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """All that the section shows; where there is one test set alone, empty `test_sets`."""
    found = metrics.get("test_sets", [])
    roles = [role for role in _ROLES if any(role in one["systems"] for one in found)]
    return {
        "test_sets": [
            {
                "name": one["name"],
                "mark": direction_name(one["source_language"], one["target_language"]),
                "sentences": figures.count(one["sentences"]),
                "cells": [(role.capitalize(), _scores(one["systems"].get(role))) for role in roles],
            }
            for one in found
        ],
        "test_sets_roles": [role.capitalize() for role in roles],
        "test_sets_note": "chrF, and below it its 95% interval and BLEU; each set is scored whole, as it was given. "
        "The results above are of all sets together.",
    }


def _group(pairs: Sequence[Mapping[str, Any]], roles: Sequence[str], mark: str) -> list[dict[str, Any]]:
    return [
        {
            "name": direction_name(pair["source_language"], pair["target_language"]),
            "mark": mark,
            "sentences": figures.count(pair["sentences"]),
            "cells": [(role.capitalize(), _cell(pair["systems"].get(role), mark)) for role in roles],
        }
        for pair in pairs
    ]


def _cell(scores: Mapping[str, Any] | None, mark: str) -> tuple[str, str]:
    if scores is None:
        return "–", ""
    own = "zero-shot; " if scores["zero_shot"] and not mark else ""
    wrong = scores.get("wrong_language", {"count": 0})["count"]
    other = f", {figures.count(wrong)} in another language" if wrong else ""
    chrf, note = _scores(scores)
    return chrf, f"{own}{note}{other}"


def _scores(scores: Mapping[str, Any] | None) -> tuple[str, str]:
    if scores is None:
        return "–", ""
    return f"{scores['chrf']:.1f}", f"{figures.interval(scores['chrf_interval'])}, BLEU {scores['bleu']:.1f}"
