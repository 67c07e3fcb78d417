"""How like references and teacher the systems' translations are, and which of them look wrong: what the page shows."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from stages.presentation import figures
from stages.report.trainings import listed

_ROLES = ("teacher", "student", "baseline")
_REFERENCES = "reference"
_FLAGS = {
    "any": "Any",
    "repetition": "Loop",
    "length": "Length",
    "copy": "Copy",
    "language": "Language",
    "empty": "Empty",
}
Metrics = Mapping[str, Any]


def likeness_section(metrics: Metrics) -> dict[str, Any]:
    """All that the section shows; without these figures in the metrics, empty `likeness` and `flags`."""
    if "token_f1" not in metrics:
        return {"likeness": [], "flags": []}
    names = [name for name in _ROLES if name in metrics["systems"]]
    # The teacher's other beam says how much of a difference is search alone.
    names += [name for name in metrics.get("fidelity", {}) if metrics["systems"][name]["role"] == "teacher"]
    return {
        "likeness": [_row(name, metrics) for name in names],
        "likeness_note": " ".join(_note(metrics)),
        "comet": bool(metrics.get("comet", {}).get("systems")),
        **_flags(metrics),
    }


def likeness_signatures(metrics: Metrics) -> list[tuple[str, str]]:
    """Names and signatures of the metrics that are not sacrebleu's."""
    comet = metrics.get("comet", {})
    return [
        *([("Word F1", metrics["token_f1"]["student"]["signature"])] if "token_f1" in metrics else []),
        *([("COMET", comet["signature"])] if "signature" in comet else []),
    ]


def _row(name: str, metrics: Metrics) -> dict[str, Any]:
    system, like = metrics["systems"][name], metrics.get("fidelity", {}).get(name)
    forced, apart = _accuracy(name, metrics), _divergence(name, metrics)
    comet = metrics.get("comet", {}).get("systems", {}).get(name)
    return {
        "name": figures.system_name(system),
        "role": system["role"],
        "aside": name not in _ROLES,
        "f1": _scored(metrics["token_f1"].get(name), "f1"),
        "accuracy": _scored(forced, "accuracy", "%"),
        "comet": _scored(comet, "comet", decimals=3),
        "chrf": _scored(like, "chrf"),
        "bleu": _scored(like, "bleu"),
        "equal": (figures.count(like["equal"]), f"of {figures.count(like['sentences'])}") if like else None,
        "agreement": _scored(apart, "agreement", "%"),
        "kl": _scored(apart, "kl", decimals=2),
    }


def _scored(found: Metrics | None, key: str, unit: str = "", decimals: int = 1) -> tuple[str, str] | None:
    """A value and its interval, as the page writes them; nothing where it is not there."""
    if not found or key not in found:
        return None
    low, high = found[f"{key}_interval"]
    return f"{found[key]:.{decimals}f}{unit}", f"{low:.{decimals}f}–{high:.{decimals}f}"


def _accuracy(name: str, metrics: Metrics) -> Metrics | None:
    found: Metrics | None = metrics.get("forced", {}).get(_REFERENCES, {}).get("systems", {}).get(name)
    return found


def _divergence(name: str, metrics: Metrics) -> Metrics | None:
    found: Metrics | None = _led(metrics)[1].get("against_teacher", {}).get(name)
    return found


def _led(metrics: Metrics) -> tuple[str, Metrics]:
    """Along which texts the divergence is shown, and what was found there: the teacher's own where both were forced."""
    forced = metrics.get("forced", {})
    on = {"teacher": "the teacher’s translations", _REFERENCES: "the references"}
    return next(((words, forced[name]) for name, words in on.items() if name in forced), ("", {}))


def _note(metrics: Metrics) -> Iterator[str]:
    accuracy = ["token accuracy"] if _REFERENCES in metrics.get("forced", {}) else []
    comet = metrics.get("comet", {})
    columns = ["Word F1", *accuracy, *(["COMET"] if comet.get("systems") else [])]
    like = "; chrF, BLEU and same text against the teacher’s translations" if "fidelity" in metrics else ""
    yield (
        f"{listed(columns)} {'are' if len(columns) > 1 else 'is'} against the references{like}. Below each figure its "
        "95% interval."
    )
    texts, led = _led(metrics)
    if led.get("against_teacher"):
        yield (
            f"Teacher-forced are {'token accuracy, on the references, and ' if accuracy else ''}same top token and "
            f"KL: along {texts} of {figures.plural(led['sentences'], 'sentence')}, how often the system’s most "
            "probable token is the teacher’s, and the Kullback-Leibler divergence of the system from the teacher in "
            "nats a token, over the whole vocabulary."
        )
    reasons = {role: found["reason"] for role, found in led.get("against_teacher", {}).items() if "reason" in found}
    yield from (f"Not given for the {role}: {reason}." for role, reason in reasons.items())
    if comet:
        yield f"COMET: {comet['absent']}." if "absent" in comet else f"COMET by {comet['model']}."


def _flags(metrics: Metrics) -> dict[str, Any]:
    found = metrics.get("hallucinations")
    if not found:
        return {"flags": []}
    counted = found["systems"]
    return {
        "flag_names": list(_FLAGS.values()),
        "flags": [_flag_row(name, counted[name]) for name in (*_ROLES, _REFERENCES) if name in counted],
        "flags_note": _flags_note(found["thresholds"]),
    }


def _flag_row(name: str, counts: Mapping[str, Mapping[str, int]]) -> dict[str, Any]:
    whole = counts["any"]["of"]
    cells = []
    for flag, title in _FLAGS.items():
        known = counts[flag]["of"]
        note = figures.share(counts[flag]["count"], whole) if flag == "any" else ""
        cells.append((title, figures.count(counts[flag]["count"]), note or _of(known, whole)))
    references = name == _REFERENCES
    return {
        "name": "References" if references else name.capitalize(),
        "role": "" if references else name,
        "aside": references,
        "cells": cells,
    }


def _of(known: int, whole: int) -> str:
    return f"of {figures.count(known)}" if known < whole else ""


def _flags_note(bounds: Metrics) -> str:
    parts: Sequence[str] = (
        f"Loop: over {100 * bounds['repetition']:g}% of the words are one n-gram three or more times running.",
        f"Length: under {bounds['shortest']:g} or over {bounds['longest']:g} times the source’s characters.",
        f"Copy: over {100 * bounds['source_copy']:g}% of the source’s words are left as they were, in sources of four "
        "words and more.",
        f"Language: a probability below {bounds['language_probability']:g} that it is the target language, in texts of "
        "20 letters and more.",
        "The references’ own counts say how often such a rule is wrong. Each case is in flagged.jsonl of the stage "
        "evaluate.",
    )
    return " ".join(parts)
