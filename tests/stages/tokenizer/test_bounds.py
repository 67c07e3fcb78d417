"""Symbols of the recipe that are never split, whatever they hold; words of any length, in a time that is bounded."""

import random
import time
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
import sentencepiece
from pydantic import ValidationError
from subword_nmt.apply_bpe import BPE

from data.artifact import Artifact
from data.runtime import Runtime
from stages.text.codes_model import LONGEST_WORD, CodesModel
from stages.text.tokenizer import Tokenizer, load_tokenizer
from stages.tokenizer import stage
from tests.fixtures.artifacts import closed, new_artifact
from tests.fixtures.corpora import make_corpus, tsv

DRAWN = random.Random(4)  # noqa: S311
SYLLABLES = ("turn", "on", "ro", "om", "se", "light", "ﬁl", "ters", "pla", "in", "de", "vi", "ce")
WORDS = ["".join(DRAWN.choices(SYLLABLES, k=DRAWN.randint(1, 4))) for _ in range(80)]
SENTENCES = [f"{' '.join(DRAWN.choices(WORDS, k=6))} {{{{ name }}}}, {{ a b }} {number}" for number in range(200)]
SYMBOLS = ["{{ name }}", "{ a b }", 'a, "b" c', "x\ty", "  wide  gap", "plain", "ﬁx me"]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    root = tmp_path_factory.mktemp("corpus")
    return make_corpus(root, tsv(root, "a", [(text, f"{text} auf deutsch") for text in SENTENCES])).artifact


def trained(folder: Path, corpus: Artifact, **options: Any) -> Tokenizer:
    output = new_artifact(folder, "tokenizer")
    config = stage.Config.model_validate({"kind": "train", "vocabulary_size": 120, **options})
    stage.run({"corpus": corpus}, config, output, Runtime())
    return load_tokenizer(closed(output).path())


@pytest.mark.parametrize("model_type", ["unigram", "bpe"])
@pytest.mark.parametrize("normalisation", ["identity", "nfkc", "nmt_nfkc_cf"])
@pytest.mark.parametrize("symbol", SYMBOLS)
def test_a_symbol_is_one_subword_wherever_it_stands(
    tmp_path: Path, corpus: Artifact, symbol: str, normalisation: str, model_type: str
) -> None:
    made = trained(tmp_path, corpus, user_defined_symbols=SYMBOLS, normalisation=normalisation, model_type=model_type)
    text = " ".join(symbol.split())
    piece = ("▁" if symbol[0] == " " else "") + text.replace(" ", "▁")
    for around in (
        f"turn on {text} in room",
        f"turn on {text}",
        f"please{text}on" if symbol[0] != " " else f"turn {text}",
    ):
        [tokens] = made.encode_target([around])
        assert tokens.count(piece) == 1, tokens
        [back] = made.decode_target([tokens])
        assert text in back
    assert piece in made.target_pieces()


@pytest.mark.parametrize(
    ("symbols", "said"),
    [
        (["</s>"], "mark of the models' own format"),
        (["<s>"], "mark of the models' own format"),
        (["<unk>"], "mark of the models' own format"),
        (["<pad>"], "mark of the models' own format"),
        (["<blank>"], "mark of the models' own format"),
        (["<2de>"], "mark of the models' own format"),
        (["<0x41>"], "mark of the models' own format"),
        ([""], "shows nothing"),
        (["fine", "  "], "shows nothing"),
        (["{{ name }}", "{{  name }}"], "comes twice, the first time as '{{ name }}'"),
        (["a b", "a▁b"], "comes twice"),
        (["e\u0301", "\u00e9"], "comes twice"),
    ],
)
def test_symbols_that_cannot_be_are_faults(symbols: list[str], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        stage.Config(user_defined_symbols=symbols)


def test_ordinary_text_trains_the_model_that_it_always_did(tmp_path: Path, corpus: Artifact) -> None:
    """Against the trainer itself, on the corpus's lines, a run of Han as long as the corpus lets through among them."""
    rows = [(text, f"{text} auf deutsch") for text in SENTENCES] + [("打开" * 1000, "auf")]
    own = make_corpus(tmp_path, tsv(tmp_path, "a", rows))
    lines = [text for row in own.rows for text in (row["source"], row["reference"])]
    expected = BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(lines), model_writer=expected, vocab_size=120, num_threads=1, minloglevel=2,
        character_coverage=1.0, normalization_rule_name="identity", max_sentence_length=1 << 20,
    )  # fmt: skip
    output = new_artifact(tmp_path, "tokenizer")
    stage.run({"corpus": own.artifact}, stage.Config(vocabulary_size=120), output, Runtime())
    models = [sentencepiece.SentencePieceProcessor() for _ in range(2)]
    models[0].LoadFromSerializedProto((output.work_path() / "source.spm").read_bytes())
    models[1].LoadFromSerializedProto(expected.getvalue())
    pieces = [[(one.IdToPiece(number), one.GetScore(number)) for number in range(120)] for one in models]
    assert pieces[0] == pieces[1]


@pytest.mark.parametrize("letters", ["a", "abcdefgh", "打开灯光"])
def test_long_runs_are_trained_on_in_parts_that_are_bounded(letters: str) -> None:
    word = "".join(random.Random(1).choices(letters, k=70_000))  # noqa: S311
    found = stage.within_bounds(f"before {word} after")
    assert max(map(len, found.split())) == stage.LONGEST_RUN
    assert found.replace(" ", "") == f"before{word}after"
    assert stage.within_bounds(word[: stage.LONGEST_RUN]) == word[: stage.LONGEST_RUN]


def processor_seconds(folder: Path, word: str) -> float:
    folder.mkdir()
    rows = [(text, f"{text} auf deutsch") for text in SENTENCES] + [(word, "wort")]
    own = make_corpus(folder, tsv(folder, "a", rows), max_characters=100_000)
    started = time.process_time()
    made = trained(folder, own.artifact)
    assert "".join(made.encode_source([word])[0]) == f"▁{word}"
    return time.process_time() - started


def test_a_word_of_70_000_letters_costs_no_more_than_so_many_letters_in_words(tmp_path: Path) -> None:
    """Many times as much where it is not cut; compared on the processor's own clock, on the same machine."""
    word = "a" * 70_000
    words = " ".join([word[:4000]] * 17)
    rows = tmp_path / "rows"
    rows.mkdir()
    whole = processor_seconds(tmp_path / "whole", word)
    own = make_corpus(
        rows, tsv(rows, "a", [*[(t, f"{t} auf") for t in SENTENCES], (words, "w")]), max_characters=100_000
    )
    started = time.process_time()
    trained(rows, own.artifact)
    assert whole < 4 * (time.process_time() - started) + 0.5


CODES = "#version: 0.2\na b\nab a\nb a</w>\nab ab</w>\nc d\ncd e</w>\n"


@pytest.mark.parametrize("length", [1, 7, LONGEST_WORD, LONGEST_WORD + 1, 3 * LONGEST_WORD + 5])
def test_words_by_codes_are_as_subword_nmt_has_them_and_long_ones_come_back_whole(tmp_path: Path, length: int) -> None:
    path = tmp_path / "x.codes"
    path.write_text(CODES, encoding="utf-8")
    text = "cde " + "".join(random.Random(2).choices("abcde", k=length)) + " ab"  # noqa: S311
    model = CodesModel(path)
    [tokens] = model.encode([text])
    assert model.decode([tokens]) == [text]
    with path.open(encoding="utf-8") as codes:
        expected = BPE(codes).segment_tokens(text.split())
    if length <= LONGEST_WORD:
        assert tokens == expected
