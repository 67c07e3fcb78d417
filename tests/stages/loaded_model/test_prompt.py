"""Prompts, written out by hand."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from data.model_folder import Prompt
from stages.loaded_model.prompt import PromptConfig, encode_sources
from stages.text.tokenizer import load_tokenizer
from tests.fixtures.tiny_student import write_tiny_tokenizer

LANGUAGES = {"source_language": "English", "target_language": "German"}
EXAMPLES = [
    {"source": "Turn on {name}", "target": "{name} einschalten"},
    {"source": "Open", "target": "Öffnen"},
]


def test_examples_are_filled_into_the_template_and_the_source_comes_last() -> None:
    config = PromptConfig.model_validate({**LANGUAGES, "examples": EXAMPLES})
    assert config.render().render("Close {area}") == (
        "English: Turn on {name}\n"
        "German: {name} einschalten\n"
        "English: Open\n"
        "German: Öffnen\n"
        "English: Close {area}\n"
        "German:"
    )


def test_a_template_of_ones_own() -> None:
    config = PromptConfig(template="<{source}> is in German: <", examples=[], separator="")
    assert config.render() == Prompt(before="<", after="> is in German: <")
    shown = config.model_copy(
        update={"separator": ">\n", "examples": PromptConfig(**LANGUAGES, examples=EXAMPLES[1:]).examples}
    )
    assert shown.render().render("a") == "<Open> is in German: <Öffnen>\n<a> is in German: <"


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        ({"template": "German: "}, r"template: has \{source\} 0 times"),
        ({"template": "{source} {source}"}, r"template: has \{source\} 2 times"),
        ({"template": "{source} {target}"}, r"template: \{target\} is nothing that is filled in; known: \{source\}"),
        ({"template": " {source} "}, "template: is the source alone"),
        ({}, "source_language: the template names it; set it"),
        ({"template": "say {source}:", **LANGUAGES}, "source_language: the template does not name it; leave it out"),
        ({**LANGUAGES, "examples": [{"source": "a"}]}, r"examples.0.target"),
    ],
)
def test_faults_of_a_prompt(options: dict[str, object], fault: str) -> None:
    with pytest.raises(ValidationError, match=fault):
        PromptConfig.model_validate(options)


def test_a_prompt_is_tokenised_as_one_text(tmp_path: Path) -> None:
    import sentencepiece

    tokenizer = load_tokenizer(write_tiny_tokenizer(tmp_path / "tokenizer"))
    model = sentencepiece.SentencePieceProcessor(model_file=str(tmp_path / "tokenizer" / "source.spm"))
    prompt = Prompt(before="Turn on (", after=") in the kitchen")
    whole = model.encode("Turn on (light) in the kitchen", out_type=str)
    assert encode_sources(["light", ""], tokenizer, prompt)[0] == whole
    # In pieces, the source would get a space of its own.
    assert whole != [
        piece for part in ("Turn on (", "light", ") in the kitchen") for piece in model.encode(part, out_type=str)
    ]
    assert encode_sources(["light"], tokenizer, None) == [model.encode("light", out_type=str)]
