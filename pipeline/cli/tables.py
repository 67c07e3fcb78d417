"""What `plan` and `status` print: columns of text, aligned."""

from collections.abc import Callable, Sequence

from data.store import Manifest
from pipeline.estimating.record import SECONDS_AN_HOUR, Estimate, Interval
from pipeline.planning.plan import Step
from pipeline.terminal.tables import aligned, size_text


def plan_table(steps: Sequence[Step]) -> str:
    """A line a stage: its state, its fingerprint, its shards, and why it must run again."""
    rows = [["stage", "state", "fingerprint", "shards", "why"]]
    for step in steps:
        fingerprint = step.artifact.fingerprint[:12] if step.artifact else ""
        shards = f"{len(step.finished)} of {len(step.shards)}" if step.shards else _made_shards(step)
        rows.append([step.node.name, step.state, fingerprint, shards, _why(step, steps)])
    return aligned(rows)


def status_table(steps: Sequence[Step], estimate: Estimate | None = None) -> str:
    """A line a stage: its state, and rows, bytes and seconds of what is there; where it was estimated, its error."""
    if estimate and not estimate.fits({step.node.name: step for step in steps}):
        estimate = None
    rows = [["stage", "state", "rows", "size", "seconds", *(["estimated", "error"] if estimate else []), "folder"]]
    for step in steps:
        row = [step.node.name, step.state, "", "", ""]
        if step.artifact and step.state == "done":
            manifest = step.artifact.manifest()
            count = sum(shard.rows for shard in manifest.shards)
            row[2:5] = [f"{count:,}" if count else "", size_text(total_bytes(manifest)), f"{manifest.seconds:,.1f}"]
        elif step.finished:
            row[2] = f"{sum(step.finished.values()):,} of {sum(step.shards.values()):,}"
        rows.append([*row, *(_against(step, estimate) if estimate else []), step.artifact.url if step.artifact else ""])
    return "\n".join([aligned(rows, right={2, 3, 4, 5, 6} if estimate else {2, 3, 4}), *_total_error(steps, estimate)])


def warning_lines(steps: Sequence[Step]) -> list[str]:
    """What the stages that are done have warned of, as the run has told it."""
    return [
        f"WARNING {step.node.name}: {warning}"
        for step in steps
        if step.state == "done" and step.artifact is not None
        for warning in step.artifact.manifest().metrics.get("warnings", ())
    ]


def estimate_table(estimate: Estimate) -> str:
    """A line a stage: rows, target tokens, hours, bytes and money, each with its interval; totals; how it was got."""
    priced = estimate.price_per_hour is not None
    money = f"{estimate.currency or 'money'} a million"
    rows = [["stage", "state", "rows", "target tokens", "hours", "size", *([money] if priced else [])]]
    for stage in estimate.stages:
        cells = [_counts(stage.rows), _counts(stage.tokens), _hours(stage.seconds), _sizes(stage.bytes)]
        rows.append([stage.stage, stage.state, *cells, *_money(estimate, stage.seconds, priced)])
    rows.append(
        ["all stages", "", "", "", _hours(estimate.total_seconds()), _sizes(estimate.total_bytes())] + [""] * priced
    )
    rows.append(["by the clock", "", "", "", _hours(estimate.clock), "", *_money(estimate, estimate.clock, priced)])
    return "\n".join([aligned(rows, right={2, 3, 4, 5, 6}), "", *_told(estimate)])


def _told(estimate: Estimate) -> list[str]:
    machine = f"{estimate.workers} worker threads, {estimate.cores} cores, {estimate.device}"
    return [
        f"Value (low to high), for {estimate.rows:,} rows on {machine}; tried on {estimate.sample_rows:,} rows in "
        f"{estimate.took_seconds:,.0f} s.",
        "Stages overlap: by the clock is what a run of all that is not done takes from beginning to end.",
    ]


def _counts(found: Interval) -> str:
    return _interval(found, lambda value: f"{value:,.0f}") if found.high else ""


def _hours(seconds: Interval) -> str:
    return _interval(
        seconds.times(1 / SECONDS_AN_HOUR), lambda value: f"{value:.3g}" if value < 1000 else f"{value:,.0f}"
    )


def _sizes(found: Interval) -> str:
    return _interval(found, size_text)


def _money(estimate: Estimate, seconds: Interval, priced: bool) -> list[str]:
    found = estimate.money_per_million(seconds)
    return [_interval(found, lambda value: f"{value:,.2f}") if found else ""] if priced else []


def _interval(found: Interval, text: Callable[[float], str]) -> str:
    low, value, high = text(found.low), text(found.value), text(found.high)
    return value if low == high else f"{value} ({low} to {high})"


def _against(step: Step, estimate: Estimate) -> list[str]:
    """Estimated seconds, and by how much they missed what it took."""
    found = estimate.of(step)
    if found is None:
        return ["", ""]
    expected = found.seconds.value
    if step.state != "done" or step.artifact is None:
        return [f"{expected:,.1f}", ""]
    truth = step.artifact.manifest().seconds
    return [f"{expected:,.1f}", f"{expected / truth - 1:+.0%}" if truth else ""]


def _total_error(steps: Sequence[Step], estimate: Estimate | None) -> list[str]:
    pairs = [(step, estimate.of(step)) for step in steps if estimate and step.state == "done" and step.artifact]
    both = [(found.seconds.value, step.artifact.manifest().seconds) for step, found in pairs if found and step.artifact]
    expected, truth = sum(pair[0] for pair in both), sum(pair[1] for pair in both)
    if not truth:
        return []
    return [f"{len(both)} stages: estimated {expected:,.1f} s, took {truth:,.1f} s, {expected / truth - 1:+.0%}"]


def total_bytes(manifest: Manifest) -> int:
    """Size of all that a manifest names."""
    return sum(shard.bytes for shard in manifest.shards) + sum(file.bytes for file in manifest.files)


def _made_shards(step: Step) -> str:
    if step.state != "done" or step.artifact is None:
        return ""
    count = len(step.artifact.manifest().shards)
    return f"{count}" if count else ""


def _why(step: Step, steps: Sequence[Step]) -> str:
    waits = _nearest(step, [other for other in steps if other.state != "done"])
    return "; ".join([*step.reasons, *([f"waits for {', '.join(waits)}"] if waits else [])])


def _nearest(step: Step, unfinished: Sequence[Step]) -> list[str]:
    """Unfinished nodes that the step reads, without those that another of them waits for anyway."""
    inputs = {other.node.name: set(other.node.inputs.values()) for other in unfinished}
    behind = {name: set[str]() for name in inputs}
    # Steps come after all they read, so what lies behind those is known already.
    for name, names in inputs.items():
        behind[name] = names.union(*(behind.get(other, set()) for other in names))
    waits = [name for name in step.node.inputs.values() if name in inputs]
    return [name for name in waits if not any(name in behind[other] for other in waits)]
