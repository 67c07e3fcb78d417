"""What noise costs each system: what the page shows, and a line about the noise in the corpus."""

from collections.abc import Mapping, Sequence
from typing import Any

from stages.presentation import figures

_ROLES = ("teacher", "student", "baseline")
_NAMES = {"all": "all kinds"}


def noise_section(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """All that the section shows; without noise, empty `noise`."""
    found: Sequence[Mapping[str, Any]] = metrics.get("noise", {}).get("sets", [])
    roles = [role for role in _ROLES if any(role in one["systems"] for one in found)]
    return {
        "noise": [
            {
                "name": _name(one["kind"]),
                "mark": "one a sentence, in the shares of training" if one["kind"] == "all" else "",
                "sentences": figures.count(one["sentences"]),
                "cells": [(role.capitalize(), _cell(one["systems"].get(role))) for role in roles],
            }
            for one in found
        ],
        "noise_roles": [role.capitalize() for role in roles],
        "noise_note": "chrF of test sentences with noise, and below it its 95% interval, and the chrF of the same "
        "sentences without. Sentences that a kind does not change are left out. In capitals, in title case and without "
        "a last mark the reference is written so, too.",
    }


def corpus_noise(corpus: Mapping[str, Any]) -> str:
    """A sentence about the noise in training rows; empty without."""
    noise = corpus.get("noise")
    if not noise:
        return ""
    kinds = ", ".join(f"{figures.count(kind['changed'])} {_name(name)}" for name, kind in noise["kinds"].items())
    reader = "the student alone reads it" if noise["read_by"] == "student" else "teacher and student read it"
    return (
        f" Noise was written into the sources of {figures.count(noise['changed'])} training rows ({kinds}); {reader}."
    )


def _name(kind: str) -> str:
    return _NAMES.get(kind, kind.replace("_", " "))


def _cell(scores: Mapping[str, Any] | None) -> tuple[str, str]:
    if scores is None:
        return "–", ""
    noised, clean = scores["noised"], scores["clean"]
    return f"{noised['chrf']:.1f}", f"{figures.interval(noised['chrf_interval'])}, clean {clean['chrf']:.1f}"
