"""One sentence pair through every schema, and the tables of docs/contract.md that show it.

`python -m tests.data.contract_example` writes the tables anew, after a schema has changed.
"""

import json
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from data import schema
from data.soft_targets import SoftTargetFormat, flat, pack

PAGE = Path(__file__).parents[2] / "docs" / "contract.md"

VOCABULARY = ["<unk>", "<s>", "</s>", "▁{", "name", "}", "▁einschalten", "▁Schalte", "▁ein"]
# What the teacher gives to the two entries that are kept at each of the T = 5 positions of
# "▁{ name } ▁einschalten </s>"; what is missing to 1 is spread evenly over the other 7.
KEPT = [
    [("▁Schalte", 0.6), ("▁{", 0.3)],
    [("name", 0.95), ("▁{", 0.02)],
    [("}", 0.98), ("name", 0.01)],
    [("▁einschalten", 0.9), ("▁ein", 0.05)],
    [("</s>", 0.97), ("▁einschalten", 0.01)],
]

ROW_ID = "1dac0e4dd9dc87d7580a66182b1c4ae8"
TOKENS = ["▁{", "name", "}", "▁einschalten"]
# (ln 0.3 + ln 0.95 + ln 0.98 + ln 0.9 + ln 0.97) / 5, that is with length_penalty = 1.
SCORE = -0.28228

PAIR: dict[str, Any] = {
    "id": ROW_ID,
    "source": "Turn on {name}",
    "reference": "{name} einschalten",
    "source_language": "en",
    "target_language": "de",
    "origin": "home-assistant",
    "location": "light/translations/en.json#device_automation.action_type.turn_on",
    "split": "train",
    "noise": None,
    "student_source": None,
    "clean_source": None,
    "clean_reference": None,
}
REJECT: dict[str, Any] = {
    "origin": "home-assistant",
    "location": "fan/translations/en.json#device_automation.action_type.turn_on",
    "source": "Turn on {name}",
    "reference": "{name} einschalten",
    "reason": "duplicate",
}
GIVEN: dict[str, Any] = {
    "id": ROW_ID,
    "texts": ["{name} einschalten"],
    "scores": [0.92],
    "tokens": [TOKENS],
    "log_probs": [
        [
            [{"token": token, "log_prob": float(np.float32(math.log(probability)))} for token, probability in position]
            for position in KEPT
        ]
    ],
}
NBEST: dict[str, Any] = {
    "id": ROW_ID,
    "hypotheses": [
        {
            "tokens": ["▁Schalte", "▁{", "name", "}", "▁ein"],
            "text": "Schalte {name} ein",
            "score": -0.15,
            "teacher": "teacher",
        },
        {"tokens": TOKENS, "text": "{name} einschalten", "score": SCORE, "teacher": "teacher"},
    ],
}
SELECTED: dict[str, Any] = {
    "id": ROW_ID,
    "index": 1,
    "target": "{name} einschalten",
    "target_tokens": TOKENS,
    "teacher_score": SCORE,
    "teacher": "teacher",
    "utility": [68.03, 100.0],
    "metric": "chrf",
}
MEASURES: dict[str, Any] = {
    "id": ROW_ID,
    "length_ratio": 18 / 14,
    "source_copy": None,
    "repetition": 0.0,
    "log_prob_per_token": SCORE,
    "mean_entropy": 0.43985,
    "reference_chrf": 100.0,
    "language_probability": None,
    "target_length": 4,
    "too_long_to_score": False,
    "without_soft_targets": False,
    "placeholders_lost": 0,
    "numbers_lost": 0,
    "unknown_tokens": 0,
    "remarks": 0,
    "line_breaks": 0,
    "columns": [],
}
VERDICT: dict[str, Any] = {"id": ROW_ID, "accepted": True, "reasons": []}

FORMAT = SoftTargetFormat(
    k=2,
    vocabulary_size=len(VOCABULARY),
    ids_dtype="uint16",
    vocabulary_digest="7f83b1657ff1fc53b92dc18148a1d65dfc2d4b1fa3d677284addd200126d9069",
    teacher_digest="c0535e4be2b79ffd93291305436bf889314e4a3faec05ecffcbb7df31ad9e51a",
    compute_type="int8",
    backend="ctranslate2",
)


def soft_targets() -> pa.Table:
    """The pair's SOFT_TARGETS row, from KEPT in float64."""
    kept = np.array([[probability for _, probability in position] for position in KEPT])
    tail = 1.0 - kept.sum(axis=1)
    others = len(VOCABULARY) - FORMAT.k
    forced = [dict(position)[token] for position, token in zip(KEPT, [*TOKENS, "</s>"], strict=True)]
    return pack(
        row_ids=[ROW_ID],
        lengths=[len(KEPT)],
        conditioning="hypothesis",
        topk_ids=np.array([[VOCABULARY.index(token) for token, _ in position] for position in KEPT]),
        topk_log_probs=np.log(kept),
        tail_log_mass=np.log(tail),
        token_log_probs=np.log(forced),
        entropy=-(kept * np.log(kept)).sum(axis=1) - tail * np.log(tail / others),
        target_format=FORMAT,
    )


def tables() -> dict[str, pa.Table]:
    """The pair in every schema of data/schema.py but DATASET, by the schema's name."""
    return {
        "PAIRS": pa.Table.from_pylist([PAIR], schema.PAIRS),
        "REJECTS": pa.Table.from_pylist([REJECT], schema.REJECTS),
        "GIVEN": pa.Table.from_pylist([GIVEN], schema.GIVEN),
        "NBEST": pa.Table.from_pylist([NBEST], schema.NBEST),
        "SELECTED": pa.Table.from_pylist([SELECTED], schema.SELECTED),
        "SOFT_TARGETS": soft_targets(),
        "MEASURES": pa.Table.from_pylist([MEASURES], schema.MEASURES),
        "VERDICTS": pa.Table.from_pylist([VERDICT], schema.VERDICTS),
    }


def rendered(table: pa.Table) -> str:
    """A Markdown table: a line a field, with its type, its comment, and the value of the table's one row."""
    lines = ["| field | type | meaning | here |", "|---|---|---|---|"]
    for field in table.schema:
        packed = pa.types.is_binary(field.type) and not table.column(field.name).null_count
        value = flat(table, field.name).tolist() if packed else table.column(field.name)[0].as_py()
        cells = [(name, kind, said, _shown(found)) for name, kind, said, found in _lines(field, value)]
        lines += ["| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in cells]
    return "\n".join(lines)


def with_tables(page: str) -> str:
    """The page with what stands between its markers made anew."""
    made = {name: rendered(table) for name, table in tables().items()}
    return re.sub(
        r"(<!-- table (\w+) -->\n).*?(<!-- end -->)",
        lambda found: f"{found[1]}{made[found[2]]}\n{found[3]}",
        page,
        flags=re.DOTALL,
    )


def _lines(field: pa.Field, value: Any) -> Iterator[tuple[str, str, str, Any]]:
    comment = _comment(field)
    kind = field.type
    if pa.types.is_list(kind) and pa.types.is_struct(kind.value_type):
        yield f"`{field.name}`", "list of struct", comment, None
        for child in kind.value_type:
            yield f"`{field.name}[].{child.name}`", _type(child), _comment(child), [item[child.name] for item in value]
        return
    yield f"`{field.name}`", _type(field), comment, "null" if value is None else value


def _comment(field: pa.Field) -> str:
    return str(field.metadata[b"comment"].decode()).replace("<", "&lt;")


def _type(field: pa.Field) -> str:
    return f"{_named(field.type)} or null" if field.nullable else _named(field.type)


def _named(kind: pa.DataType) -> str:
    if pa.types.is_struct(kind):
        return f"struct of {', '.join(child.name for child in kind)}"
    return f"list of {_named(kind.value_type)}" if pa.types.is_list(kind) else str(kind)


def _shown(value: Any) -> str:
    if value is None:
        return ""
    text = value if isinstance(value, str) else json.dumps(_rounded(value), ensure_ascii=False)
    return f"`{text}`"


def _rounded(value: Any) -> Any:
    if isinstance(value, list):
        return [_rounded(item) for item in value]
    return float(f"{value:.4g}") if isinstance(value, float) and math.isfinite(value) else value


if __name__ == "__main__":
    PAGE.write_text(with_tables(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
