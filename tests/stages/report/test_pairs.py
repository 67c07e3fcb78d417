"""What the page says of each language pair, from figures made by hand."""

from typing import Any

from stages.report.pairs import pairs_section, sets_section


def scores(chrf: float, *, zero_shot: bool = False, wrong: int = 0) -> dict[str, Any]:
    return {
        "chrf": chrf,
        "chrf_interval": [chrf - 1, chrf + 1],
        "bleu": chrf / 2,
        "zero_shot": zero_shot,
        "wrong_language": {"count": wrong, "of": 1100},
    }


def pair(source: str, target: str, zero_shot: bool, **systems: Any) -> dict[str, Any]:
    return {
        "pair": f"{source}-{target}",
        "source_language": source,
        "target_language": target,
        "sentences": 1200,
        "zero_shot": zero_shot,
        "systems": systems,
    }


def test_pairs_stand_with_their_systems_and_those_never_learned_apart() -> None:
    lost = scores(20, zero_shot=True, wrong=1050)
    found = pairs_section(
        {
            "pairs": [
                pair("en", "de", False, teacher=scores(60), student=scores(58.25)),
                pair("en", "sv", False, student=scores(50)),
                pair("sv", "de", True, teacher=scores(12, zero_shot=True), student=lost),
            ]
        }
    )
    assert found["pairs_roles"] == ["Teacher", "Student"]
    assert [(row["name"], row["mark"], row["sentences"]) for row in found["pairs"] + found["pairs_apart"]] == [
        ("English to German", "", "1,200"),
        ("English to Swedish", "", "1,200"),
        ("Swedish to German", "zero-shot", "1,200"),
    ]
    assert found["pairs"][0]["cells"][1] == ("Student", ("58.2", "57.2–59.2, BLEU 29.1"))
    assert found["pairs"][1]["cells"][0] == ("Teacher", ("–", ""))
    assert found["pairs_apart"][0]["cells"][1][1][1] == "19.0–21.0, BLEU 10.0, 1,050 in another language"


def test_one_pair_alone_has_no_section() -> None:
    assert pairs_section({}) == {"pairs": []}


def test_every_test_set_has_a_row_of_its_own() -> None:
    one = pair("en", "de", False, teacher=scores(60), student=scores(58.25)) | {"name": "newstest"}
    other = pair("en", "de", False, student=scores(40)) | {"name": "talks"}
    found = sets_section({"test_sets": [one, other]})
    assert [(row["name"], row["mark"], row["sentences"]) for row in found["test_sets"]] == [
        ("newstest", "English to German", "1,200"),
        ("talks", "English to German", "1,200"),
    ]
    assert found["test_sets"][0]["cells"][1] == ("Student", ("58.2", "57.2–59.2, BLEU 29.1"))
    assert found["test_sets"][1]["cells"][0] == ("Teacher", ("–", ""))
