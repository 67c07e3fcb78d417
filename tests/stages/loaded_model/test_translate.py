"""translate_lines against CTranslate2 and SentencePiece used directly."""

import itertools
from collections.abc import Iterator
from pathlib import Path

import ctranslate2
import pytest
import sentencepiece

from data.errors import ModelError
from data.model_folder import describe_model, load_teacher_info, save_teacher_info
from stages.loaded_model.conversion import convert_checkpoint
from stages.loaded_model.translate import load_translator, size_on_disk, translate_lines
from stages.text.tokenizer import load_tokenizer
from tests.fixtures.artifacts import words_tokenizer
from tests.fixtures.tiny_student import SENTENCES, TALKATIVE_SEED, PiecesShape, tokenizer_pieces, write_tiny_tokenizer
from tests.fixtures.tiny_teacher import TinyShape, write_tiny_checkpoint, write_tiny_teacher

LINES = [*SENTENCES, "", "light", "Das Licht"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("translate")
    tokenizer = write_tiny_tokenizer(root / "tokenizer")
    shape = PiecesShape(pieces=tokenizer_pieces(tokenizer))
    checkpoint = write_tiny_checkpoint(root / "checkpoint.pt", seed=TALKATIVE_SEED, shape=shape)
    model = root / "model"
    convert_checkpoint(checkpoint, model, quantization="int8")
    write_tiny_tokenizer(model)
    save_teacher_info(model, describe_model(model, "student"))
    return model


def directly(folder: Path, lines: list[str], beam_size: int) -> list[str]:
    tokenizer = sentencepiece.SentencePieceProcessor(model_file=str(folder / "source.spm"))
    translator = ctranslate2.Translator(str(folder))
    results = [
        translator.translate_batch([tokenizer.encode(line, out_type=str)], beam_size=beam_size) for line in lines
    ]
    return [tokenizer.decode(result[0].hypotheses[0]) for result in results]


@pytest.mark.parametrize("beam_size", [1, 4])
@pytest.mark.parametrize("threads", [1, 2])
def test_lines_are_translated_in_order_whatever_the_chunks(folder: Path, beam_size: int, threads: int) -> None:
    expected = [text if line else "" for text, line in zip(directly(folder, LINES, beam_size), LINES, strict=True)]
    assert len(set(expected)) > 4  # a random model that says one thing only would prove nothing
    for chunk_lines in (2, 100):
        found = translate_lines(
            folder, LINES, beam_size=beam_size, threads=threads, batch_tokens=64, chunk_lines=chunk_lines
        )
        assert list(found) == expected


def test_a_chunk_is_read_only_when_its_translations_are_asked_for(folder: Path) -> None:
    read = []

    def endless() -> Iterator[str]:
        for number in itertools.count():
            read.append(number)
            yield SENTENCES[number % len(SENTENCES)]

    found = translate_lines(folder, endless(), chunk_lines=3)
    assert len(list(itertools.islice(found, 4))) == 4
    assert len(read) == 6


def test_text_is_normalised_as_the_corpus_is(folder: Path) -> None:
    folded, as_typed = translate_lines(folder, ["Küche light", "  Ku\u0308che \t light\r\n"])
    assert folded == as_typed != ""


def test_tokens_are_counted_without_the_end(folder: Path) -> None:
    found = load_translator(folder, threads=1).translate(LINES, beam_size=1)
    tokenizer = sentencepiece.SentencePieceProcessor(model_file=str(folder / "source.spm"))
    sources = [tokenizer.encode(line, out_type=str) for line in LINES]
    results = ctranslate2.Translator(str(folder)).translate_batch(sources, beam_size=1)
    counts = [len(result.hypotheses[0]) if line else 0 for result, line in zip(results, LINES, strict=True)]
    assert [translation.tokens for translation in found] == counts


def test_affixes_of_the_model_are_put_around_every_sentence(folder: Path, tmp_path: Path) -> None:
    info = load_teacher_info(folder)
    word = tokenizer_pieces(folder)[5]
    for path in folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    changed = {"source_prefix": (word,), "source_suffix": (word, word), "target_prefix": (word,)}
    save_teacher_info(tmp_path, info.model_copy(update=changed))
    tokenizer = sentencepiece.SentencePieceProcessor(model_file=str(folder / "source.spm"))
    source = [word, *tokenizer.encode(SENTENCES[0], out_type=str), word, word]
    [result] = ctranslate2.Translator(str(folder)).translate_batch([source], target_prefix=[[word]], beam_size=1)
    # An empty line has nothing to translate, affixes or not.
    assert list(translate_lines(tmp_path, [SENTENCES[0], " "])) == [tokenizer.decode(result.hypotheses[0][1:]), ""]


def test_a_model_with_few_positions_reads_and_writes_what_it_can(tmp_path: Path) -> None:
    folder = write_tiny_teacher(tmp_path / "short", shape=TinyShape(positions=16))
    translator = load_translator(folder, tokenizer=load_tokenizer(words_tokenizer(tmp_path).path()), threads=1)
    texts = [" ".join(f"a{number % 9}" for number in range(length)) for length in (3, 14, 15, 400)]
    found = translator.translate(texts, beam_size=2)
    # Two positions are for marks; of a longer source the first 14 tokens are read.
    assert found[3].text == translator.translate([" ".join(texts[3].split()[:14])], beam_size=2)[0].text
    assert max(translation.tokens for translation in found) <= 14


def test_a_folder_without_a_model_is_told_before_anything_is_read(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"potstill\.json"):
        translate_lines(tmp_path, iter(lambda: pytest.fail("read"), None))


def test_a_damaged_model_is_named(folder: Path, tmp_path: Path) -> None:
    for path in folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    model = tmp_path / "model.bin"
    model.write_bytes(model.read_bytes()[:1000])
    with pytest.raises(ModelError, match=str(tmp_path)):
        translate_lines(tmp_path, ["a"])


def test_size_counts_what_translating_needs(folder: Path) -> None:
    names = ("model.bin", "config.json", "shared_vocabulary.json", "source.spm")
    assert size_on_disk(folder, folder) == sum((folder / name).stat().st_size for name in names)
