"""Tags rendered for a direction, against what is written out here by hand."""

import pytest

from data.errors import ModelError
from data.language_tags import Direction, all_rendered, is_tagged, render, source_templates
from data.model_folder import TeacherInfo

NAMES = {"en": "eng_Latn", "de": "deu_Latn"}


def info(**changes: object) -> TeacherInfo:
    values = {
        "kind": "transformers",
        "source_vocabulary_size": 9,
        "target_vocabulary_size": 9,
        "vocabulary_digest": "0",
        "parameters": 1,
        "quantization": "int8",
        "digest": "0",
    }
    return TeacherInfo(**(values | changes))


@pytest.mark.parametrize(("tags", "expected"), [("none", ()), ("target", ("<2sv>",)), ("both", ("<from:en>", "<2sv>"))])
def test_a_model_trained_here_has_these_tags(tags: str, expected: tuple[str, ...]) -> None:
    assert render(source_templates(tags), Direction("en", "sv"), {"en": "en", "sv": "sv"}) == expected


def test_a_pair_is_named_by_its_languages() -> None:
    assert str(Direction("en", "zh-Hans")) == "en-zh-Hans"


def test_tokens_that_hang_on_nothing_stay_as_they_are() -> None:
    assert not is_tagged(["<s>", "</s>"])
    assert render(("<s>", "{source}"), Direction("de", "en"), NAMES) == ("<s>", "deu_Latn")
    assert render(("<s>",), Direction("xx", "yy"), {}) == ("<s>",)


def test_a_language_without_a_name_is_an_error() -> None:
    with pytest.raises(ModelError, match="no language sv; it knows de, en"):
        render(("{target}",), Direction("en", "sv"), NAMES)


def test_a_vocabulary_needs_the_tags_of_all_directions_and_no_more() -> None:
    assert set(all_rendered(("<s>", "<2{target}>"), {"en": "en", "de": "de"})) == {"<2en>", "<2de>"}
    assert all_rendered(("<s>",), NAMES) == ()


def test_a_teacher_is_asked_in_one_direction() -> None:
    many = info(source_prefix=("{source}",), target_prefix=("{target}",), language_names=NAMES, pairs=("en-de",))
    asked = many.toward(Direction("de", "en"))
    assert (asked.source_prefix, asked.target_prefix) == (("deu_Latn",), ("eng_Latn",))
    assert many.is_tagged() and not asked.is_tagged()
    one = info(source_prefix=("<s>",))
    assert one.toward(Direction("", "")) is one
