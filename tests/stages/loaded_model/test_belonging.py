"""Tokenizers that are not the teacher's, and texts that would be marks."""

import json
import logging
from pathlib import Path

import pytest

from data.errors import ModelError
from data.model_folder import Prompt, load_teacher_info, save_teacher_info
from stages.loaded_model.belonging import check_tokenizer
from stages.text.own_models import copy_models, write_description
from stages.text.tokenizer import Tokenizer, load_tokenizer
from tests.fixtures.artifacts import words_tokenizer
from tests.fixtures.hub_models import write_sentencepiece
from tests.fixtures.tiny_teacher import write_tiny_teacher


def subwords(folder: Path, *, own: bool = False, marks: tuple[str, ...] = ()) -> Tokenizer:
    folder.mkdir()
    write_sentencepiece(folder / "model.spm")
    (folder / "tokenizer").mkdir()
    copy_models(folder / "model.spm", None, folder / "tokenizer")
    return write_description(folder / "tokenizer", "file", list(marks), own=own)


def teacher(folder: Path, tokens: list[str]) -> Path:
    write_tiny_teacher(folder)
    (folder / "shared_vocabulary.json").write_text(json.dumps(tokens))
    return folder


def test_words_are_no_tokens_of_a_model_of_subwords(tmp_path: Path) -> None:
    words = load_tokenizer(words_tokenizer(tmp_path).path())
    check_tokenizer(words, teacher(tmp_path / "a", ["<unk>", "</s>", *(f"word{number}" for number in range(40))]))
    for number, style in enumerate(("\u2581{}", "\u0120{}", "##{}", "{}@@", "{}\uffed")):
        tokens = ["<unk>", "</s>", *(style.format(f"w{each}") for each in range(40))]
        with pytest.raises(ModelError, match=r"tokenizer\.kind is none.*40 of the 42 tokens"):
            check_tokenizer(words, teacher(tmp_path / str(number), tokens))


def test_a_vocabulary_that_was_cut_is_taken_where_it_is_said_to_be_its_own(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    other, own = subwords(tmp_path / "other"), subwords(tmp_path / "own", own=True)
    folder = teacher(tmp_path / "teacher", ["<unk>", "</s>", *own.source_pieces()[:40]])
    with pytest.raises(ModelError, match=r"17 of its 57 source subwords.*belongs_to_teacher = true"):
        check_tokenizer(other, folder)
    with caplog.at_level(logging.WARNING):
        check_tokenizer(own, folder)
    assert "17 of its 57 source subwords" in caplog.text


def test_a_special_token_in_a_template_must_be_one_token(tmp_path: Path) -> None:
    plain, knowing = subwords(tmp_path / "plain"), subwords(tmp_path / "knowing", marks=("<|im_start|>",))
    folder = teacher(tmp_path / "teacher", ["<unk>", "</s>", "<|im_start|>", *plain.source_pieces()])
    info = load_teacher_info(folder).model_copy(update={"prompt": Prompt(before="<|im_start|>the ", after="")})
    save_teacher_info(folder, info)
    check_tokenizer(knowing, folder)
    with pytest.raises(ModelError, match=r"teacher\.prompt: '<\|im_start\|>' is a token of the model's own"):
        check_tokenizer(plain, folder)


def test_a_file_that_makes_special_tokens_of_texts_is_refused(tmp_path: Path) -> None:
    import sentencepiece

    # As Gemma's model has them: pieces of their own, which any text may spell.
    symbols = ["<start_of_turn>", "<h1>"]
    with (tmp_path / "own.spm").open("wb") as stream:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(["the dog ran over the fox"] * 20),
            model_writer=stream,
            vocab_size=30,
            hard_vocab_limit=False,
            user_defined_symbols=symbols,
            minloglevel=2,
        )
    (tmp_path / "a").mkdir()
    copy_models(tmp_path / "own.spm", None, tmp_path / "a")
    named = write_description(tmp_path / "a", "file")
    folder = teacher(tmp_path / "teacher", ["<unk>", "</s>", *named.source_pieces()])
    check_tokenizer(named, folder)
    (folder / "special_tokens.json").write_text(json.dumps(["<start_of_turn>", "</s>"]))
    with pytest.raises(
        ModelError, match=r"special tokens of the teacher's of texts that spell them \(<start_of_turn>\)"
    ):
        check_tokenizer(named, folder)
    own = write_description(tmp_path / "a", "teacher", ["<start_of_turn>", "</s>"], own=True)
    check_tokenizer(own, folder)
    assert own.encode_source(["<start_of_turn> <h1>"])[0].count("<h1>") == 1
    assert "<start_of_turn>" not in own.encode_source(["<start_of_turn> <h1>"])[0]
