"""The page: metrics, curves and examples as the template wants them, and the template filled in."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import resources
from typing import Any

from stages.presentation import figures
from stages.presentation.model_card import direction_name, language_name
from stages.report.attribution import attribution_section
from stages.report.charts import Chart, Dot, Line, Panel, line_chart, quality_speed_chart
from stages.report.examples import Example
from stages.report.given import given_notes, joined_notes
from stages.report.headline import headline
from stages.report.likeness import likeness_section, likeness_signatures
from stages.report.noise import corpus_noise, noise_section
from stages.report.pairs import pairs_section, sets_section
from stages.report.soft_targets import soft_targets_section
from stages.report.trainings import targets, training_fact

Curves = Mapping[str, Sequence[Mapping[str, float]]]
_MAIN = ("teacher", "student", "baseline")
# Cells of a system's row that are empty where it is no model.
_OF_MODELS = (
    "sentences_per_second", "sentences_per_second_range", "tokens_per_second", "parameters", "bytes", "quantization",
)  # fmt: skip
_CORPUS_COLUMNS = ("Read", "Train", "No reference", "Valid", "Test", "Dropped")


@dataclass(frozen=True)
class ExampleRule:
    """How the examples were chosen, so that the page can say it."""

    number: int
    of: int
    seed: int


def render_page(
    metrics: Mapping[str, Any], curves: Curves, examples: Sequence[Example], rule: ExampleRule, version: str
) -> str:
    """One self-contained HTML page; everything that comes from data is escaped."""
    from jinja2 import Environment, StrictUndefined

    folder = resources.files("stages.report")
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    template = environment.from_string(folder.joinpath("page.html").read_text(encoding="utf-8"))
    page = {
        **_top(metrics),
        **_systems(metrics),
        **sets_section(metrics),
        **pairs_section(metrics),
        **noise_section(metrics),
        **attribution_section(metrics),
        **likeness_section(metrics),
        **_training(curves, metrics),
        **_filter(metrics),
        "corpus_warnings": [*_warnings(metrics["corpus"]), *_warnings(metrics.get("sides"))],
        **soft_targets_section(metrics),
        **_corpus(metrics),
        **_examples(examples, rule, metrics["test"]),
        **_provenance(metrics),
        "version": version,
    }
    page["sections"] = list(_sections(page))
    return template.render(page=page, style=folder.joinpath("page.css").read_text(encoding="utf-8"))


def _top(metrics: Mapping[str, Any]) -> dict[str, Any]:
    test = metrics["test"]
    sides = [" and ".join(map(language_name, test[f"{side}_languages"])) for side in ("source", "target")]
    return {
        "title": " to ".join(sides),
        "headline": headline(metrics),
    }


def _sections(page: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    yield "systems", "Results"
    if page["test_sets"]:
        yield "test-sets", "Test sets"
    if page["pairs"]:
        yield "pairs", "Language pairs"
    if page["noise"]:
        yield "noise", "Noise"
    if page["attribution"]:
        yield "attribution", "Where quality goes"
    if page["likeness"]:
        yield "likeness", "Likeness"
    if page["training_chart"]:
        yield "training", "Training"
    if page["waterfall"]:
        yield "filter", "Filter"
    if page["soft_targets"]:
        yield "soft-targets", "Soft targets"
    yield "corpus", "Corpus"
    yield "translations", "Translations"
    yield "provenance", "Provenance"


def _systems(metrics: Mapping[str, Any]) -> dict[str, Any]:
    systems, settings, machine, test = (metrics[key] for key in ("systems", "settings", "machine", "test"))
    names = [*(name for name in _MAIN if name in systems), *(name for name in systems if name not in _MAIN)]
    left = test["without_reference"]
    return {
        "test_set": f"{figures.plural(test['sentences'], 'held-out sentence')} that no student saw in training."
        + (f" {figures.count(left)} more have no reference and are not used." if left else ""),
        "systems": [_system_row(name, systems[name]) for name in names],
        "systems_note": f"Below the scores their 95% intervals, by bootstrap over {settings['bootstrap_samples']:,} "
        f"resamples of the test set. {_ter_note(systems)} Speed is text in, text out, tokenisation included, over "
        f"{figures.plural(test['timed_sentences'], 'sentence')} on {figures.plural(settings['threads'], 'thread')} of "
        f"{machine['processor']}: the median of {figures.plural(settings['repeats'], 'run')} in which the systems took "
        f"turns, and below it the slowest and the fastest.{''.join(given_notes(metrics))}",
        "quality_chart": _quality_chart(systems, [name for name in names if _is_timed(systems[name])]),
        "quality_note": _quality_note(
            [systems[name] for name in names if name not in _MAIN and _is_timed(systems[name])]
        ),
        "quality_keys": [(role, role.capitalize()) for role in _MAIN if role in systems and _is_timed(systems[role])],
        "comparisons": [_comparison_row(row, settings["bootstrap_samples"]) for row in metrics["comparisons"]],
        "comparisons_note": "Paired bootstrap resampling: p is the chance of a difference this large if "
        "there were none. Below each difference its 95% interval.",
    }


def _is_timed(system: Mapping[str, Any]) -> bool:
    """Whether it is a model, and no translations that were given."""
    return "sentences_per_second" in system


def _ter_note(systems: Mapping[str, Mapping[str, Any]]) -> str:
    if all("ter" in system for system in systems.values()):
        return "Lower TER is better."
    return "TER is left out: sacrebleu cannot tell where a word ends in this language."


def _system_row(name: str, system: Mapping[str, Any]) -> dict[str, Any]:
    known = [key for key in ("chrf", "bleu", "ter") if key in system]
    scores = {key: f"{system[key]:.1f}" for key in known}
    intervals = {f"{key}_interval": figures.interval(system[f"{key}_interval"]) for key in known}
    return {
        "ter": "",
        "ter_interval": "",
        **scores,
        **intervals,
        "name": figures.system_name(system),
        "role": system["role"],
        "aside": name not in _MAIN,
        **(_speed_and_size(system) if _is_timed(system) else dict.fromkeys(_OF_MODELS, "")),
    }


def _speed_and_size(system: Mapping[str, Any]) -> dict[str, str]:
    slowest, fastest = system["sentences_per_second_range"]
    return {
        "sentences_per_second": figures.rate(system["sentences_per_second"]),
        "sentences_per_second_range": f"{figures.rate(slowest)}–{figures.rate(fastest)}",
        "tokens_per_second": figures.rate(system["tokens_per_second"]),
        "parameters": figures.parameters(system["parameters"]),
        "bytes": figures.size(system["bytes"]),
        "quantization": system["quantization"],
    }


def _quality_chart(systems: Mapping[str, Mapping[str, Any]], names: Sequence[str]) -> Chart:
    dots = [
        Dot(
            role=systems[name]["role"],
            label=figures.system_name(systems[name]),
            short_label=systems[name].get("name") or figures.decoding(systems[name]["beam"]),
            speed=systems[name]["sentences_per_second"],
            quality=systems[name]["chrf"],
            interval=tuple(systems[name]["chrf_interval"]),
            filled=name in _MAIN,
        )
        for name in names
    ]
    spoken = "; ".join(f"{dot.label}: chrF {dot.quality:.1f} at {figures.rate(dot.speed)} a second" for dot in dots)
    return quality_speed_chart(dots, "chrF", f"Quality against speed. {spoken}.")


def _quality_note(others: Sequence[Mapping[str, Any]]) -> str:
    kinds = [("the other beam", False), ("a further teacher", True)]
    found = [kind for kind, further in kinds if any(bool(system.get("name")) == further for system in others)]
    open_circles = f"; open circles are {' or '.join(found)}" if found else ""
    return f"Lines are 95% intervals{open_circles}. Up and to the right is better."


def _comparison_row(row: Mapping[str, Any], samples: int) -> dict[str, Any]:
    found: dict[str, Any] = {"name": f"{row['system'].capitalize()} − {row['against']}"}
    for key in ("chrf", "bleu"):
        found[key] = figures.signed(row[key]["difference"])
        found[f"{key}_interval"] = figures.interval(row[key]["interval"], signed=True)
        found[f"{key}_p"] = figures.p_value(row[key]["p_value"], samples)
    return found


def _training(curves: Curves, metrics: Mapping[str, Any]) -> dict[str, Any]:
    roles = [role for role in ("student", "baseline") if curves.get(role)]
    if not roles:
        return {"training_chart": None}
    panels = [
        Panel("Cross-entropy in training, nats a token", "step", _lines(curves, roles, "cross_entropy", dots=False)),
        Panel(
            "Perplexity on the validation set",
            "step",
            _validated(curves, roles, "valid_perplexity", metrics["training"]),
            logarithmic=True,
        ),
        *(
            Panel(f"{name} on the validation set", "step", _validated(curves, roles, key, metrics["training"]))
            for key, name in (("valid_chrf", "chrF"), ("valid_bleu", "BLEU"))
        ),
    ]
    facts = [training_fact(role, metrics["training"].get(role, {})) for role in roles]
    panels = [panel for panel in panels if any(line.points for line in panel.lines)]
    return {
        "training_chart": line_chart("training", panels, "Training curves. " + " ".join(facts)) if panels else None,
        "training_text": " ".join(facts),
        "training_keys": [(role, role.capitalize()) for role in roles],
        "training_note": _training_note(roles, metrics["stages"]),
    }


def _lines(curves: Curves, roles: Sequence[str], key: str, *, dots: bool) -> list[Line]:
    return [
        Line(role, role, [(line["step"], line[key]) for line in curves[role] if key in line], dots) for role in roles
    ]


def _validated(curves: Curves, roles: Sequence[str], key: str, trained: Mapping[str, Any]) -> list[Line]:
    """Lines of dots; those whose weights ship have a ring."""
    return [
        replace(line, marked=trained.get(line.role, {}).get("validation", {}).get("shipped_steps", ()))
        for line in _lines(curves, roles, key, dots=True)
    ]


def _training_note(roles: Sequence[str], stages: Mapping[str, Mapping[str, Any]]) -> str:
    own = ", ".join(f"of the {role} on {targets(role, stages)}" for role in roles)
    return f"Cross-entropy is measured on what is trained on: {own}. Perplexity is on the references."


def _filter(metrics: Mapping[str, Any]) -> dict[str, Any]:
    steps = metrics.get("filter", {}).get("waterfall", [])
    if not steps:
        return {"waterfall": []}
    total = metrics["filter"]["rows"]
    before = [total, *(step["left"] for step in steps)]
    first = {"name": "all rows", "bounds": "", "failed": "", "alone": ""}
    rows = [first | {"left": figures.count(total), "percent": 100, "lost_percent": 0}]
    for step, left in zip(steps, before[:-1], strict=True):
        rows.append(
            {
                "name": step["rule"].replace("_", " "),
                "bounds": figures.bounds(step["min"], step["max"]),
                "failed": figures.count(step["failed"]),
                "alone": figures.count(step["failed_alone"]),
                "left": figures.count(step["left"]),
                "percent": _percent(step["left"], total),
                "lost_percent": _percent(left - step["left"], total),
            }
        )
    return {
        "filter_warnings": _warnings(metrics["filter"]),
        "waterfall": [{**row, "final": row is rows[-1]} for row in rows],
        "waterfall_text": f"{figures.count(before[-1])} of {figures.count(total)} rows "
        f"({figures.share(before[-1], total)}) went into the dataset. Nothing is deleted: the other rows keep "
        "their measures and every reason.",
        "waterfall_note": "Failed counts the rows that a rule turns down, Alone those that no other rule does. Left "
        "counts what this rule and all above it let through. A row whose measure is not known passes.",
    }


def _warnings(stage: Mapping[str, Any] | None) -> list[list[str]]:
    """Each as its lines: the first one tells what is wrong, the others are examples."""
    return [warning.split("\n") for warning in (stage or {}).get("warnings", ())]


def _percent(part: float, whole: float) -> float:
    return round(100 * part / whole, 3) if whole else 0.0


def _corpus(metrics: Mapping[str, Any]) -> dict[str, Any]:
    corpus = metrics["corpus"]
    splits = corpus.get("splits", {})
    parts = [f"{figures.count(counts['rows'])} {split}" for split, counts in splits.items()]
    alone = splits.get("train", {}).get("monolingual", 0)
    return {
        "corpus_text": f"Of {figures.count(corpus.get('read', 0))} rows read these were kept: {', '.join(parts)}. "
        f"{figures.count(alone)} of the training rows have no reference. No training row shares its source with a "
        f"held-out one, case and whitespace aside.{''.join(_near(corpus.get('near_held_out', {})))}"
        f"{corpus_noise(corpus)}" + "".join(joined_notes(metrics)),
        "corpus_columns": _CORPUS_COLUMNS,
        "corpus_sources": [_corpus_row(name, source) for name, source in corpus.get("sources", {}).items()],
    }


def _near(found: Mapping[str, Mapping[str, Any]]) -> Iterable[str]:
    """A sentence for each kind of row that nearly is a held-out one, where they were looked for."""
    for kind, near in found.items():
        if near["policy"] != "keep":
            done = "dropped" if near["policy"] == "drop" else "kept"
            yield (
                f" Rows whose {kind.removesuffix('s')} is nearly a held-out one's (punctuation, quotes, tokenisation "
                f"and the like aside): {figures.count(near['rows'])}, {done}."
            )


def _corpus_row(name: str, source: Mapping[str, Any]) -> dict[str, Any]:
    kept, dropped = source["kept"], source["dropped"]
    reasons = ", ".join(f"{figures.count(number)} {reason.replace('_', ' ')}" for reason, number in dropped.items())
    notes = [source.get("licence") or "", f"dropped: {reasons}" if reasons else ""]
    values = [
        source["read"],
        kept["train"],
        source["monolingual"]["train"],
        kept["valid"],
        kept["test"],
        sum(dropped.values()),
    ]
    cells = [(column, figures.count(value)) for column, value in zip(_CORPUS_COLUMNS, values, strict=True)]
    return {"name": name, "note": "; ".join(filter(None, notes)), "cells": cells}


def _examples(examples: Sequence[Example], rule: ExampleRule, test: Mapping[str, Any]) -> dict[str, Any]:
    several = max(len(test[f"{side}_languages"]) for side in ("source", "target")) > 1
    return {
        "examples_text": f"{figures.plural(rule.number, 'sentence')} drawn at random from the "
        f"{figures.count(rule.of)} of the test set, with seed {rule.seed} and no look at the outcome. "
        "Marked is what is not in the reference, which is not always wrong; the number is the sentence’s chrF.",
        "examples": [
            {
                "source_language": example.source_language,
                "target_language": example.target_language,
                "direction": direction_name(example.source_language, example.target_language) if several else "",
                "source": example.source,
                "reference": example.reference,
                "lines": [
                    {
                        "role": line.role,
                        "name": line.role.capitalize(),
                        "segments": line.segments,
                        "chrf": f"{line.chrf:.0f}",
                    }
                    for line in example.lines
                ],
            }
            for example in examples
        ],
    }


def _provenance(metrics: Mapping[str, Any]) -> dict[str, Any]:
    machine, settings, stages = metrics["machine"], metrics["settings"], metrics["stages"]
    signatures = next(iter(metrics["systems"].values()))["signatures"]
    return {
        "machine": [
            ("Processor", machine["processor"], figures.plural(machine["cores"], "core")),
            ("Memory", figures.size(machine["memory_bytes"]), ""),
            ("Threads of every system", settings["threads"], f"on {machine.get('gpu', settings['device'])}"),
            ("System", machine["system"], f"Python {machine['python']}"),
        ],
        "stages": [
            {
                "name": node.replace("_", " "),
                "fingerprint": stage["fingerprint"],
                "rows": "" if stage["rows"] is None else figures.count(stage["rows"]),
                "bytes": figures.size(stage["bytes"]),
                "time": figures.duration(stage["seconds"]),
                "created": stage["created"][:16].replace("T", " "),
            }
            for node, stage in stages.items()
        ],
        "signatures": [
            *(({"bleu": "BLEU", "chrf": "chrF", "ter": "TER"}[key], value) for key, value in signatures.items()),
            *likeness_signatures(metrics),
        ],
        "versions": ", ".join(f"{name} {version}" for name, version in metrics["versions"].items()),
        "configs": [
            (node.replace("_", " "), json.dumps(stage["config"], ensure_ascii=False)) for node, stage in stages.items()
        ],
    }
