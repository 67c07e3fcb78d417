from pathlib import Path

from bench.estimate import compare, error, read_seconds


def interval(low: float, value: float, high: float) -> dict[str, float]:
    return {"low": low, "value": value, "high": high}


def test_only_what_was_estimated_is_compared_with_its_truth(tmp_path: Path) -> None:
    for stage, seconds in (("corpus", 3.0), ("decode", 8.0), ("student", 50.0)):
        folder = tmp_path / "demo" / f"{stage}-{'0' * 20}"
        folder.mkdir(parents=True)
        (folder / "manifest.json").write_text(f'{{"stage": "{stage}", "seconds": {seconds}}}')
    estimate = {
        "stages": [
            {"stage": "corpus", "state": "done", "seconds": interval(3, 3, 3)},
            {"stage": "decode", "state": "estimated", "seconds": interval(9, 10, 11)},
            {"stage": "student", "state": "estimated", "seconds": interval(38, 40, 60)},
        ]
    }
    assert compare(estimate, read_seconds(tmp_path)) == {
        "decode": {"estimated": 10, "true": 8.0, "within": False, "error": 0.25},
        "student": {"estimated": 40, "true": 50.0, "within": True, "error": -0.2},
    }
    assert error(1.0, 0.0) is None
