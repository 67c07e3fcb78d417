"""How well a teacher predicts given references: its cross-entropy by teacher forcing through CTranslate2."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow as pa

from data.errors import ModelError
from data.language_tags import Direction
from data.runtime import Runtime
from stages.loaded_model.engine import Engine, TranslatorEngine
from stages.loaded_model.model import load_teacher
from stages.text.tokenizer import Tokenizer

# Rows of a batch times its longest side, in tokens.
_BATCH_TOKENS = 2048


def cross_entropy(
    folder: Path, rows: Mapping[Direction, pa.Table], tokenizer: Tokenizer, longest: int, runtime: Runtime
) -> dict[Direction, float]:
    """Of each direction's `source` and `reference`, in nats a token, </s> counted; left out where no row is usable.

    The same rows count as in a training with max_tokens = `longest`: neither side is empty or longer, tags and </s>
    included; those that the teacher has too few positions for are left out, too. Raises ModelError when the teacher
    cannot be loaded, is decoder-only, or does not know a language.
    """
    found: dict[Direction, float] = {}
    teacher = load_teacher(folder, runtime, spread=True)
    for direction, table in rows.items():
        asked = teacher.toward(direction)
        sources = tokenizer.encode_source(table.column("source").to_pylist())
        targets = tokenizer.encode_target(table.column("reference").to_pylist())
        usable = [
            row
            for row, (source, target) in enumerate(zip(asked.sources(sources), targets, strict=True))
            if sources[row]
            and target
            and max(len(source), len(target)) < longest
            and asked.positions.hold(len(sources[row]), len(target))
        ]
        positions = sum(len(targets[row]) + 1 for row in usable)
        if positions:
            given = asked.sources([sources[row] for row in usable])
            found[direction] = _nats(asked.engine, given, [targets[row] for row in usable]) / positions
    return found


def _nats(engine: Engine, sources: Sequence[Sequence[str]], targets: Sequence[Sequence[str]]) -> float:
    """Sum over all targets' tokens and ends; those of a target's prefix are none of it."""
    if not isinstance(engine, TranslatorEngine):
        raise ModelError(
            "student.languages.stop_distilling: a decoder-only teacher's cross-entropy is not computed; leave it out"
        )
    prefix = list(engine.target_prefix)
    results = engine.translator.score_batch(
        [list(source) for source in sources],
        [[*prefix, *target] for target in targets],
        max_batch_size=_BATCH_TOKENS,
        batch_type="tokens",
        max_input_length=0,
    )
    total = 0.0
    for result, target in zip(results, targets, strict=True):
        own = result.log_probs[len(prefix) :]
        if len(own) != len(target) + 1:
            raise ModelError(f"CTranslate2 scored {len(own)} positions of a target; expected {len(target) + 1}")
        total -= sum(own)
    return total
