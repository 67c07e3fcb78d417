"""Ids by numbers against ids by subwords, on text that is easy and text that is not; and sampled subwords."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import sentencepiece

from data.errors import ModelError
from stages.text.tokenizer import SOURCE_MODEL, Tokenizer, describe, load_tokenizer
from stages.training.batches.batches import BatchSource, Position, Stream
from stages.training.batches.encoding import TextEncoder, sampled
from stages.training.batches.ragged import Ragged
from stages.training.batches.stream import TURN, Sampling
from stages.training.vocabulary import Vocabulary

TEXTS = [
    "select the device",
    "",
    "what no model knows: ☃ and 漢字",
    "</s> <unk> <2de> <pad> in a text",
    "  spaces   and\ttabs ",
    "select select select",
    "⁇ ▁ <0x41>",
] * 3


def trained(folder: Path, **options: object) -> Tokenizer:
    words = ["select", "the", "device", "what", "model", "knows", "and", "in", "text", "spaces", "tabs", "configure"]
    random = np.random.default_rng(0)
    lines = (" ".join(random.choice(words, 6)) for _ in range(600))
    folder.mkdir(parents=True, exist_ok=True)
    given = {"vocab_size": 90, "hard_vocab_limit": False, "minloglevel": 2, "model_prefix": str(folder / "made")}
    sentencepiece.SentencePieceTrainer.Train(sentence_iterator=iter(lines), **(given | options))
    (folder / "made.model").rename(folder / SOURCE_MODEL)
    (folder / "tokenizer.json").write_text(json.dumps(describe(folder, "train")))
    return load_tokenizer(folder)


@pytest.mark.parametrize(
    "options",
    [
        {"model_type": "unigram"},
        {"model_type": "bpe"},
        {"byte_fallback": True, "vocab_size": 350},
        {"user_defined_symbols": ["<2de>", "☃"]},
        {"control_symbols": ["<pad>"]},
    ],
    ids=str,
)
def test_numbers_give_the_ids_that_subwords_give(tmp_path: Path, options: dict[str, object]) -> None:
    tokenizer = trained(tmp_path, **options)
    pieces = tokenizer.source_pieces()
    # A vocabulary in another order, without some subwords and with what no model has.
    for vocabulary in (Vocabulary.from_tokens([*reversed(pieces[5:]), "漢", "☃"]), Vocabulary.from_tokens(pieces)):
        found = TextEncoder.of_source(tokenizer, vocabulary).encode(TEXTS)
        wanted = Ragged.of(tokenizer.encode_source(TEXTS), vocabulary)
        np.testing.assert_array_equal(found.lengths, wanted.lengths)
        np.testing.assert_array_equal(found.flat, wanted.flat)


def sources(*turns: int) -> pa.Table:
    texts = [f"select the device and configure model {number}" for number in range(len(turns))]
    ids = [f"{number:032x}" for number in range(len(turns))]
    return pa.table({"source": texts, "id": ids, TURN: list(turns)})


@pytest.mark.parametrize(("kind", "nbest_size"), [("unigram", -1), ("unigram", 8), ("bpe", -1)])
def test_a_sampled_text_hangs_on_seed_row_and_turn_alone_and_says_the_same(
    tmp_path: Path, kind: str, nbest_size: int
) -> None:
    tokenizer = trained(tmp_path, model_type=kind)
    vocabulary = Vocabulary.from_tokens(tokenizer.source_pieces())
    sampling = Sampling(0.2, nbest_size)
    table = sources(*[0] * 30)
    first = rows(sampled(tokenizer, table, sampling, 1, vocabulary))
    # In another order, and among others.
    order = np.random.default_rng(1).permutation(30)
    again = rows(sampled(tokenizer, table.take(pa.array(order)), sampling, 1, vocabulary))
    assert [again[place] for place in np.argsort(order)] == first
    later = rows(sampled(tokenizer, sources(*[1] * 30), sampling, 1, vocabulary))
    other = rows(sampled(tokenizer, table, sampling, 2, vocabulary))
    assert first != later != other != first
    plain = tokenizer.encode_source(table["source"].to_pylist())
    assert any([vocabulary.tokens[each] for each in row] != one for row, one in zip(first, plain, strict=True))
    texts = [tokenizer.decode_target([[vocabulary.tokens[each] for each in row]])[0] for row in first]
    known = [text.replace("⁇", "").split() for text in texts]
    assert [words[:5] for words in known] == [["select", "the", "device", "and", "configure"]] * 30


def test_batches_of_a_sampled_stream_are_the_same_from_any_position(tmp_path: Path) -> None:
    tokenizer = trained(tmp_path)
    vocabulary = Vocabulary.from_tokens(tokenizer.source_pieces())
    table = sources(*[0] * 30).drop_columns([TURN]).append_column("reference", pa.array(["select"] * 30))
    stream = Stream("reference", [lambda: table], "reference", sampling=Sampling(0.2, -1))
    source = BatchSource(stream, tokenizer, vocabulary, vocabulary, 300, 100, 8, 1)
    run = list(source.batches(Position(), epochs=3))
    for number, batch in enumerate(run[:-1]):
        np.testing.assert_array_equal(next(source.batches(batch.following, 3)).src, run[number + 1].src)


def test_what_cannot_sample_says_so(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text(json.dumps(describe(tmp_path, "none")))
    with pytest.raises(ModelError, match=r"leave student\.subword_sampling out"):
        sampled(load_tokenizer(tmp_path), sources(0), Sampling(0.1, -1), 1, Vocabulary.from_tokens(["a"]))


def rows(found: Ragged) -> list[list[int]]:
    ends = found.starts + found.lengths
    return [found.flat[start:end].tolist() for start, end in zip(found.starts, ends, strict=True)]
