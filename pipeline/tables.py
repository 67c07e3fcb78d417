"""What `plan` and `status` print: columns of text, aligned."""

from collections.abc import Sequence

from data.store import Manifest
from pipeline.plan import Step


def plan_table(steps: Sequence[Step]) -> str:
    """A line a stage: its state, its fingerprint, its shards, and why it must run again."""
    rows = [["stage", "state", "fingerprint", "shards", "why"]]
    for step in steps:
        fingerprint = step.artifact.fingerprint[:12] if step.artifact else ""
        shards = f"{len(step.finished)} of {len(step.shards)}" if step.shards else _made_shards(step)
        rows.append([step.node.name, step.state, fingerprint, shards, _why(step, steps)])
    return aligned(rows)


def status_table(steps: Sequence[Step]) -> str:
    """A line a stage: its state, and rows, bytes and seconds of what is there."""
    rows = [["stage", "state", "rows", "size", "seconds", "folder"]]
    for step in steps:
        row = [step.node.name, step.state, "", "", "", step.artifact.url if step.artifact else ""]
        if step.artifact and step.state == "done":
            manifest = step.artifact.manifest()
            count = sum(shard.rows for shard in manifest.shards)
            row[2:5] = [f"{count:,}" if count else "", size_text(total_bytes(manifest)), f"{manifest.seconds:,.1f}"]
        elif step.finished:
            row[2] = f"{sum(step.finished.values()):,} of {sum(step.shards.values()):,}"
        rows.append(row)
    return aligned(rows, right={2, 3, 4})


def total_bytes(manifest: Manifest) -> int:
    """Size of all that a manifest names."""
    return sum(shard.bytes for shard in manifest.shards) + sum(file.bytes for file in manifest.files)


def size_text(count: float) -> str:
    """`512 B`, `1.4 MB`; decimal units."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def aligned(rows: Sequence[Sequence[str]], right: frozenset[int] | set[int] = frozenset()) -> str:
    """Cells padded to their column's width; the columns of `right` to the right."""
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = [
            cell.rjust(width) if index in right else cell.ljust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


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
