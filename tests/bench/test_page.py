"""The page says what the files say, goals missed included."""

from pathlib import Path

from bench import page
from bench.records import record, save


def test_the_page_has_the_committed_figures() -> None:
    assert page.tables() in page.PAGE.read_text(encoding="utf-8"), "run `python -m bench.page`"


def test_a_goal_that_is_missed_is_seen(tmp_path: Path) -> None:
    named = {"decode_vs_limit": 0.94, "decode_vs_limit_transformer_base": 0.95, "kd_step_cost_k16": 1.1, "other": 2000}
    save("decode", [record(name, value, "ratio", threads=2, packages=()) for name, value in named.items()], tmp_path)
    lines = page.tables(tmp_path).splitlines()
    assert "| `decode_vs_limit` | 0.94 ✗ | ≥ 0.95 |  | 2 |" in lines
    assert "| `decode_vs_limit_transformer_base` | 0.95 ✓ | ≥ 0.95 |  | 2 |" in lines
    save("estimate", [record("estimate_error", -0.3, "ratio", threads=2, packages=())], tmp_path)
    assert "| `estimate_error` | -0.3 ✗ | ± 0.25 |  | 2 |" in page.tables(tmp_path)
    assert "| `kd_step_cost_k16` | 1.1 ✓ | ≤ 1.1 |  | 2 |" in lines
    assert "| `other` | 2,000 |  |  | 2 |" in lines
    assert "Not measured yet: `make bench-scale`." in lines


def test_what_stands_around_the_figures_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "page.md"
    path.write_text(f"before\n{page.BEGIN}\nold\n{page.END}\nafter\n")
    page.write_page(path, tmp_path)
    text = path.read_text()
    assert text.startswith(f"before\n{page.BEGIN}\n\n### decode")
    assert text.endswith(f"{page.END}\nafter\n")
    assert "old" not in text


def test_machines_stand_side_by_side(tmp_path: Path) -> None:
    mine = record("decode_vs_peer", 1.3, "ratio", threads=2, packages=())
    save("decode", [mine, record("other", 1, "s", threads=2, packages=())], tmp_path)
    save("decode", [mine.model_copy(update={"hardware": "Abacus", "value": 1.1, "date": "2001-01-01"})], tmp_path)
    lines = page.tables(tmp_path).splitlines()
    assert "Abacus, 2001-01-01" in lines[2]
    assert "| `decode_vs_peer` | 1.3 ✓ | 1.1 ✗ | ≥ 1.2 |  | 2 |" in lines or (
        "| `decode_vs_peer` | 1.1 ✗ | 1.3 ✓ | ≥ 1.2 |  | 2 |" in lines
    )
    assert any(line.startswith("| `other` |") and "–" in line for line in lines)
