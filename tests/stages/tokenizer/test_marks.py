"""Texts that spell marks stay texts; the library tokenizers' models give back what they were given."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.runtime import Runtime
from stages.text.marks import escape, is_mark, unescape
from stages.text.tokenizer import load_tokenizer
from stages.tokenizer import stage as tokenizer
from tests.fixtures.artifacts import closed, new_artifact, words_tokenizer

SPELLED = "see </s> and <2fr> or <s> \\</s> <unk> <html>"
# A line or two of many scripts, some with marks that combine, joiners, or two directions.
LANGUAGES = [
    "The quick brown fox, isn't it?",
    "Größe über Straße",
    "Čeština je těžká",
    "Naïve façade œuvre",
    "Русский текст",
    "Ελληνικά",
    "עברית",
    "العربية لغة",
    "हिन्दी भाषा",
    "ภาษาไทย",
    "今天天气很好。",
    "日本語の文",
    "한국어 문장",
    "Türkçe ışık",
    "Tiếng Việt",
    "བོད་སྐད",
    "ქართული",
    "emoji \U0001f469\u200d\U0001f680 end",
    "a\u0301 combining",
]


def test_words_that_spell_marks_are_no_marks(tmp_path: Path) -> None:
    words = load_tokenizer(words_tokenizer(tmp_path).path())
    (tokens,) = words.encode_source([SPELLED])
    assert tokens == ["see", "\\</s>", "and", "\\<2fr>", "or", "\\<s>", "\\\\</s>", "\\<unk>", "<html>"]
    assert words.decode_target([tokens]) == [SPELLED]


@given(st.text(alphabet="\\<>/s2fr ", max_size=12))
def test_what_is_escaped_comes_back_and_is_no_mark(word: str) -> None:
    assert unescape(escape(word)) == word
    assert not is_mark(escape(word))


@pytest.mark.parametrize("lower", [False, True])
def test_pieces_of_the_users_own_that_are_marks_are_spelled(tmp_path: Path, lower: bool) -> None:
    import sentencepiece

    with (tmp_path / "tags.spm").open("wb") as stream:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(["a </s> b <2fr> cdefrs2/ <|end|>"] * 50),
            model_writer=stream,
            vocab_size=40,
            hard_vocab_limit=False,
            user_defined_symbols=["<2fr>", "<|end|>"],
            minloglevel=2,
        )
    output = new_artifact(tmp_path, "tokenizer")
    tokenizer.run({}, tokenizer.Config(kind="file", source_model=str(tmp_path / "tags.spm")), output, Runtime())
    ours = load_tokenizer(closed(output).path())
    text = "a <2fr> b </s>" if not lower else "<2fr><2fr>"
    for side in (ours.encode_source, ours.encode_target):
        (tokens,) = side([text])
        assert not any(is_mark(token) for token in tokens)
        assert ours.decode_target([tokens]) == [text]


def test_byte_level_pieces_give_back_every_language(tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    from tests.fixtures.hub_families import write_bpe_tokenizer

    write_bpe_tokenizer(tmp_path / "hub", special=["<|end|>", "<|user|>"], eos_token="<|end|>")  # noqa: S106
    output = new_artifact(tmp_path, "tokenizer")
    path = tmp_path / "hub" / "tokenizer.json"
    tokenizer.run({}, tokenizer.Config(kind="file", source_model=str(path)), output, Runtime())
    ours, own = load_tokenizer(closed(output).path()), AutoTokenizer.from_pretrained(tmp_path / "hub")
    encoded = ours.encode_source(LANGUAGES)
    assert encoded == [own.tokenize(text) for text in LANGUAGES]
    assert ours.decode_target(encoded) == LANGUAGES
    # A stranger's text spells a special token and is a text; in a template it is the token.
    (stranger,) = ours.encode_source(["say <|user|> now"])
    assert "<|user|>" in own.tokenize("say <|user|> now")
    assert "<|user|>" not in stranger
    assert ours.decode_target([stranger]) == ["say <|user|> now"]
    plain, both = ours.encode_prompts("<|user|>Say: ", ["the fox", "<|user|> fox"], "<|end|>")
    assert plain == own.tokenize("<|user|>Say: the fox<|end|>")
    assert (both.count("<|user|>"), both.count("<|end|>")) == (1, 1)


def test_a_mark_is_not_made_of_a_template_and_a_text_together(tmp_path: Path) -> None:
    from tests.fixtures.hub_families import write_bpe_tokenizer

    write_bpe_tokenizer(tmp_path / "hub", special=["<|end|>"], eos_token="<|end|>")  # noqa: S106
    output = new_artifact(tmp_path, "tokenizer")
    path = tmp_path / "hub" / "tokenizer.json"
    tokenizer.run({}, tokenizer.Config(kind="file", source_model=str(path)), output, Runtime())
    ours = load_tokenizer(closed(output).path())
    assert json.loads((output.path() / "tokenizer.json").read_bytes())["marks"] == ["<|end|>"]
    (tokens,) = ours.encode_prompts("a <|", ["end"], "|> b")
    assert "<|end|>" not in tokens
