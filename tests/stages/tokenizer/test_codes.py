"""Lists of merges against subword-nmt's own command, with and without Moses' words."""

import io
from pathlib import Path

import pytest

from data.errors import ModelError
from data.runtime import Runtime
from stages.text.tokenizer import Tokenizer, load_tokenizer
from stages.tokenizer import stage as tokenizer
from tests.fixtures.artifacts import closed, new_artifact

TEXTS = ["the slow lower lows", "Gr\u00f6\u00dfe <2fr> </s>", "a@b 12", ""]
SPOKEN = ['Hello, world! It isn\'t "that" (bad) & more.', "3.5% of it \u2013 so."]


@pytest.fixture(scope="module")
def codes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from subword_nmt.learn_bpe import learn_bpe

    path = tmp_path_factory.mktemp("codes") / "bpe.codes"
    with path.open("w", encoding="utf-8") as stream:
        learn_bpe(io.StringIO("the slow lower lows the low slower Hello world bad\n" * 20), stream, 30)
    return path


def make(folder: Path, path: Path, **options: object) -> Tokenizer:
    output = new_artifact(folder, "tokenizer")
    config = tokenizer.Config.model_validate({"kind": "file", "source_model": str(path), **options})
    tokenizer.run({}, config, output, Runtime())
    return load_tokenizer(closed(output).path())


def test_subwords_are_those_of_subword_nmt(codes: Path, tmp_path: Path) -> None:
    from subword_nmt.apply_bpe import BPE

    with codes.open(encoding="utf-8") as stream:
        oracle = BPE(stream)
    ours = make(tmp_path, codes)
    expected = [oracle.process_line(text).split() for text in TEXTS]
    assert ours.encode_source(TEXTS) == ours.encode_target(TEXTS) == expected
    assert any(token.endswith("@@") for row in expected for token in row)
    assert ours.decode_target(expected) == TEXTS


def test_counts_of_fastbpe_change_nothing(codes: Path, tmp_path: Path) -> None:
    merges = codes.read_text(encoding="utf-8").splitlines()[1:]
    (tmp_path / "fast.codes").write_text("".join(f"{merge} {100 - number}\n" for number, merge in enumerate(merges)))
    assert make(tmp_path / "a", tmp_path / "fast.codes").encode_source(TEXTS) == make(
        tmp_path / "b", codes
    ).encode_source(TEXTS)


def test_words_may_be_cut_as_moses_cuts_them(codes: Path, tmp_path: Path) -> None:
    from sacremoses import MosesTokenizer

    ours = make(tmp_path, codes, moses=["en", "de"])
    for text, row in zip(SPOKEN, ours.encode_source(SPOKEN), strict=True):
        words = " ".join(row).replace("@@ ", "").split(" ")
        assert words == MosesTokenizer("en").tokenize(text, aggressive_dash_splits=True)
    english = make(tmp_path / "b", codes, moses=["en", "en"])
    assert english.decode_target(english.encode_target(SPOKEN)) == SPOKEN
    assert english.digest() != ours.digest()


def test_moses_is_for_lists_of_merges_alone(codes: Path, tmp_path: Path) -> None:
    from tests.fixtures.hub_models import write_sentencepiece

    write_sentencepiece(tmp_path / "a.spm")
    with pytest.raises(ModelError, match=r"tokenizer\.moses: .* lists of merges alone"):
        make(tmp_path, tmp_path / "a.spm", moses=["en", "de"])
