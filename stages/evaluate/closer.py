"""What the evaluation tells beside scores and speed: what is like the teacher, what looks wrong, what COMET says."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from data.language_tags import Direction
from stages.evaluate import comet, forced, hallucinations
from stages.evaluate.f1 import score_f1
from stages.evaluate.quality import Scoring, score_systems

ROLES = ("teacher", "student", "baseline")
REFERENCE = "reference"


@dataclass(frozen=True)
class HeldOutRows:
    """The test rows that have a reference, column by column."""

    ids: Sequence[str]
    sources: Sequence[str]
    references: Sequence[str]
    source_languages: Sequence[str]
    target_languages: Sequence[str]


@dataclass(frozen=True)
class Options:
    """Of all that has options."""

    forced: forced.Config
    hallucinations: hallucinations.Config
    comet: comet.Config


def look_closer(
    test: HeldOutRows,
    translated: Mapping[str, Sequence[str]],
    models: Mapping[str, forced.ForcedModel],
    options: Options,
    scoring: Scoring,
    machine: tuple[int, str],
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Metrics by name, without those that were not asked for, and all flagged translations.

    `translated` by system, `models` by role; `machine` is threads and device.
    Metrics: token_f1, fidelity, hallucinations, forced, comet; see the module of each. Without the teacher's
    translations there is no fidelity, and nothing is forced along them.
    """
    threads, device = machine
    found: dict[str, Any] = {
        "token_f1": score_f1(translated, test.references, scoring),
    }
    # Of a teacher that is given not all rows may be there.
    if "teacher" in translated:
        found["fidelity"] = measure_fidelity(translated, scoring)
    roles = {role: translated[role] for role in ROLES if role in translated}
    flagged: list[dict[str, Any]] = []
    if options.hallucinations.enabled:
        found["hallucinations"], flagged = _hallucinations(test, roles, options.hallucinations)
    if options.forced.on:
        found["forced"] = _forced(test, translated.get("teacher"), models, options.forced, scoring, threads)
    if options.comet.model:
        found["comet"] = comet.score_comet(roles, test.sources, test.references, options.comet, scoring, device)
    return found, flagged


def _hallucinations(
    test: HeldOutRows, roles: Mapping[str, Sequence[str]], config: hallucinations.Config
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    columns = (test.sources, test.source_languages, test.target_languages)
    rows = [hallucinations.Row(*row) for row in zip(*columns, strict=True)]
    counts, flagged = {}, []
    for name, lines in {**roles, REFERENCE: test.references}.items():
        flags, known = hallucinations.find_flags(rows, lines, config)
        counts[name] = hallucinations.count_flags(flags, known)
        flagged += [
            {"id": number, "system": name, "flag": flag.name, "value": flag.value, "source": source, "text": line}
            for number, source, line, row in zip(test.ids, test.sources, lines, flags, strict=True)
            for flag in row
        ]
    return {"thresholds": config.model_dump(mode="json", exclude={"enabled"}), "systems": counts}, flagged


def _forced(
    test: HeldOutRows,
    translations: Sequence[str] | None,
    models: Mapping[str, forced.ForcedModel],
    config: forced.Config,
    scoring: Scoring,
    threads: int,
) -> dict[str, Any]:
    # Ids are hashes, so the first by id are a random sample that does not change from run to run.
    chosen = sorted(range(len(test.ids)), key=lambda row: test.ids[row])[: config.sentences]
    texts = {"reference": test.references} | ({"teacher": translations} if translations is not None else {})
    directions = [Direction(test.source_languages[row], test.target_languages[row]) for row in chosen]
    found: dict[str, Any] = {}
    for name in (name for name in config.on if name in texts):
        sources, targets = ([column[row] for row in chosen] for column in (test.sources, texts[name]))
        found[name] = forced.measure_forcing(models, sources, targets, config, scoring, threads, directions)
    return found


def measure_fidelity(translated: Mapping[str, Sequence[str]], scoring: Scoring) -> dict[str, dict[str, Any]]:
    """Fidelity: of every system but the teacher, BLEU and chrF with the teacher's translations as references.

    A student can be good and unlike its teacher, or like it and no better (Stanton et al. 2021,
    https://arxiv.org/abs/2106.05945). The teacher's own other beam, measured alike, says how much is search.

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
