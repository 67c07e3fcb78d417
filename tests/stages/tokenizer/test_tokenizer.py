import json
import pickle
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import sentencepiece
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from data.artifact import Artifact
from data.errors import DataError, ModelError
from data.ids import normalise, row_id
from data.runtime import Runtime
from data.schema import PAIRS
from stages.text.tokenizer import Tokenizer, load_tokenizer
from stages.tokenizer import stage as tokenizer
from tests.fixtures.artifacts import artifact_of_folder, artifact_of_tables, closed, new_artifact

SYLLABLES = ["ba", "den", "ki", "lo", "mun", "ra", "sel", "tü", "vo", "wix"]


def sentences(seed: int, count: int = 300) -> list[str]:
    draw = random.Random(seed)  # noqa: S311
    words = ["".join(draw.choices(SYLLABLES, k=draw.randint(1, 3))) for _ in range(80)]
    return [" ".join(draw.choices(words, k=draw.randint(2, 7))) for _ in range(count)]


def pairs(sources: Sequence[str], references: Sequence[str | None]) -> pa.Table:
    rows = [
        (row_id("en", "de", source), source, reference, "en", "de", "a", f"a:{number}", "train", *[None] * 4)
        for number, (source, reference) in enumerate(zip(sources, references, strict=True))
    ]
    columns = zip(*rows, strict=True) if rows else [[] for _ in PAIRS]
    return pa.Table.from_arrays(
        [pa.array(column, field.type) for column, field in zip(columns, PAIRS, strict=True)], schema=PAIRS
    )


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    """Train rows of two made-up languages, some monolingual; a valid row with a letter that no other has."""
    references = [None if number % 10 == 0 else text for number, text in enumerate(sentences(2))]
    shards = {
        "train-00000": pairs(sentences(1)[:200], references[:200]),
        "train-00001": pairs(sentences(1)[200:], references[200:]),
        "valid-00000": pairs(["ж ж ж"] * 9, ["ж"] * 9),
    }
    return artifact_of_tables(tmp_path_factory.mktemp("corpus"), "corpus", shards)


def make(folder: Path, inputs: dict[str, Artifact], **options: Any) -> tuple[Tokenizer, dict[str, Any]]:
    config = tokenizer.Config.model_validate(options)
    output = new_artifact(folder, "tokenizer")
    metrics = tokenizer.run(inputs, config, output, Runtime())
    closed(output)
    return load_tokenizer(output.path()), metrics


@pytest.fixture(scope="module")
def trained(corpus: Artifact, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a tokenizer of 60 subwords."""
    folder = tmp_path_factory.mktemp("trained")
    make(folder, {"corpus": corpus}, vocabulary_size=60)
    return new_artifact(folder, "tokenizer").path()


def test_subwords_are_those_of_sentencepiece(trained: Path) -> None:
    oracle = sentencepiece.SentencePieceProcessor(model_file=str(trained / "source.spm"))
    texts = [*sentences(3, 20), "", "ж unknown"]
    ours = load_tokenizer(trained)
    expected = [oracle.encode(text, out_type=str) for text in texts]
    assert ours.encode_source(texts) == expected
    assert ours.encode_target(texts) == expected
    assert ours.decode_target(expected) == [oracle.decode(pieces) for pieces in expected]
    every = [oracle.id_to_piece(number) for number in range(oracle.get_piece_size())]
    assert len(every) == 60
    assert ours.source_pieces() == [piece for piece in every if piece not in {"<unk>", "<s>", "</s>"}]
    assert ours.target_pieces() == ours.source_pieces()


def test_nothing_gives_nothing(trained: Path) -> None:
    ours = load_tokenizer(trained)
    assert ours.encode_source([]) == ours.encode_target([]) == ours.decode_target([]) == []


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.lists(st.sampled_from([*SYLLABLES, " ", "ß", "½", "…", "漢", "{name}"])).map("".join).map(normalise))
def test_decoding_gives_the_text_back(trained: Path, text: str) -> None:
    ours = load_tokenizer(trained)
    assert ours.decode_target(ours.encode_target([text])) == [text]


def test_training_looks_at_both_sides_of_the_train_split_alone(corpus: Artifact, tmp_path: Path) -> None:
    table = pairs([f"{text} ɸ" for text in sentences(1)], [f"{text} ʘ" for text in sentences(2)])
    other = artifact_of_tables(tmp_path / "c", "corpus", {"train-00000": table, "valid-00000": pairs(["ж"], ["ж"])})
    ours, metrics = make(tmp_path / "t", {"corpus": other}, vocabulary_size=60)
    letters = set("".join(ours.source_pieces()))
    assert {"ɸ", "ʘ"} <= letters
    assert "ж" not in letters
    assert metrics["rows"] == 300
    assert metrics["source_pieces"] == len(ours.source_pieces()) == 57


def test_a_sample_is_the_first_rows(tmp_path: Path) -> None:
    first, second = pairs(sentences(1), sentences(2)), pairs(["ж"] * 9, ["ж"] * 9)
    shards = {"train-00000": first, "train-00001": second}
    whole = artifact_of_tables(tmp_path / "c", "corpus", shards)
    part, metrics = make(tmp_path / "t", {"corpus": whole}, vocabulary_size=60, sample_rows=300)
    assert metrics["rows"] == 300
    assert "ж" not in set("".join(part.source_pieces()))
    more, metrics = make(tmp_path / "u", {"corpus": whole}, vocabulary_size=60, sample_rows=301)
    assert metrics["rows"] == 301
    assert "ж" in set("".join(more.source_pieces()))


@pytest.mark.parametrize("model_type", ["unigram", "bpe"])
def test_the_same_corpus_trains_the_same_model(corpus: Artifact, tmp_path: Path, model_type: str) -> None:
    made = [
        make(tmp_path / name, {"corpus": corpus}, vocabulary_size=60, model_type=model_type)[0] for name in ("a", "b")
    ]
    assert made[0].digest() == made[1].digest()
    assert made[0].source_pieces() == made[1].source_pieces()


def test_symbols_are_never_split_and_bytes_spell_the_unknown(corpus: Artifact, tmp_path: Path) -> None:
    options = {"vocabulary_size": 320, "byte_fallback": True, "user_defined_symbols": ["{name}"]}
    ours, _ = make(tmp_path, {"corpus": corpus}, **options)
    tokens = ours.encode_target(["ba{name}ba 漢"])
    assert "{name}" in tokens[0]
    assert {"<0xE6>", "<0xBC>", "<0xA2>"} <= set(tokens[0])
    assert ours.decode_target(tokens) == ["ba{name}ba 漢"]
    assert {"{name}", "<0x00>", "<0xFF>"} <= set(ours.target_pieces())


def test_text_is_not_changed_unless_it_is_asked_for(corpus: Artifact, tmp_path: Path) -> None:
    texts = ["ﬁ ½ Ba"]
    for name, expected in (("identity", "ﬁ ½ Ba"), ("nfkc", "fi 1⁄2 Ba"), ("nmt_nfkc_cf", "fi 1⁄2 ba")):
        ours, _ = make(tmp_path / name, {"corpus": corpus}, vocabulary_size=60, normalisation=name)
        assert ours.decode_target(ours.encode_target(texts)) == [expected]


def test_it_travels_to_another_process(trained: Path) -> None:
    ours = load_tokenizer(trained)
    ours.encode_source(["ba"])
    copy = pickle.loads(pickle.dumps(ours))  # noqa: S301
    assert copy.encode_source(sentences(3, 5)) == ours.encode_source(sentences(3, 5))
    assert copy.digest() == ours.digest()


def other_model(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "text.txt").write_text("\n".join(sentences(9)))
    sentencepiece.SentencePieceTrainer.train(
        input=str(folder / "text.txt"), model_prefix=str(folder / "other"), vocab_size=50, minloglevel=2
    )
    return folder / "other.model"


def test_given_models_are_copied(trained: Path, tmp_path: Path) -> None:
    given = {"source_model": str(trained / "source.spm"), "target_model": str(other_model(tmp_path / "m"))}
    both, metrics = make(tmp_path / "a", {}, kind="file", **given)
    assert (len(both.source_pieces()), len(both.target_pieces())) == (57, 47)
    texts = sentences(9, 20)
    assert both.encode_source(texts) == load_tokenizer(trained).encode_source(texts)
    oracle = sentencepiece.SentencePieceProcessor(model_file=given["target_model"])
    assert both.encode_target(texts) == oracle.encode(texts, out_type=str) != both.encode_source(texts)
    assert both.decode_target(both.encode_target(texts)) == texts
    assert metrics["digest"] == both.digest() != load_tokenizer(trained).digest()
    one, _ = make(tmp_path / "b", {}, kind="file", source_model=given["source_model"])
    assert one.digest() == load_tokenizer(trained).digest()
    config = tokenizer.Config.model_validate({"kind": "file", **given})
    assert [str(path) for path in tokenizer.external_files(config)] == list(given.values())
    assert tokenizer.faults(config) == []
    missing = tokenizer.Config(kind="file", source_model=f"{tmp_path}/none.spm")
    assert tokenizer.faults(missing) == [f"tokenizer.source_model: no such file: {tmp_path}/none.spm"]


@pytest.mark.parametrize(
    "names", [("source.spm", "target.spm"), ("source.spm", None), ("sentencepiece.bpe.model", None)]
)
def test_the_own_models_of_a_teacher(trained: Path, tmp_path: Path, names: tuple[str, str | None]) -> None:
    folder = tmp_path / "teacher"
    folder.mkdir()
    (folder / names[0]).write_bytes((trained / "source.spm").read_bytes())
    if names[1]:
        (folder / names[1]).write_bytes(other_model(tmp_path / "m").read_bytes())
    teacher = artifact_of_folder(tmp_path / "runs", "teacher", folder)
    ours, _ = make(tmp_path / "t", {"teacher": teacher}, kind="teacher")
    assert len(ours.source_pieces()) == 57
    assert len(ours.target_pieces()) == (47 if names[1] else 57)


def test_a_teacher_without_models_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "teacher").mkdir()
    (tmp_path / "teacher" / "model.bin").write_bytes(b"x")
    teacher = artifact_of_folder(tmp_path / "runs", "teacher", tmp_path / "teacher")
    with pytest.raises(ModelError, match=r"has no SentencePiece model .*it has manifest\.json, model\.bin; set kind"):
        make(tmp_path / "t", {"teacher": teacher}, kind="teacher")


def test_a_teacher_with_a_tokenizer_of_another_kind_is_told_apart(tmp_path: Path) -> None:
    (tmp_path / "teacher").mkdir()
    (tmp_path / "teacher" / "tokenizer.json").write_text("{}")
    teacher = artifact_of_folder(tmp_path / "runs", "teacher", tmp_path / "teacher")
    with pytest.raises(ModelError, match=r"no tokenizer\.json of the library tokenizers; it has"):
        make(tmp_path / "t", {"teacher": teacher}, kind="teacher")


def test_without_a_tokenizer_text_is_split_at_spaces(tmp_path: Path) -> None:
    ours, metrics = make(tmp_path, {}, kind="none")
    assert ours.encode_source(["▁a b  c", ""]) == [["▁a", "b", "c"], []]
    assert ours.decode_target([["▁a", "b"], []]) == ["▁a b", ""]
    assert not ours.source_pieces()
    assert not ours.target_pieces()
    assert metrics["kind"] == "none"


@pytest.mark.parametrize("content", [b"", b"no model", b"\x0a\x05", b"cut off"])
def test_a_file_that_is_no_model_is_an_error(trained: Path, tmp_path: Path, content: bytes) -> None:
    whole = (trained / "source.spm").read_bytes()
    path = tmp_path / "bad.spm"
    path.write_bytes(whole[: len(whole) // 2] if content == b"cut off" else content)
    with pytest.raises(ModelError, match=r"bad\.spm is no SentencePiece model"):
        make(tmp_path / "t", {}, kind="file", source_model=str(path))


def test_a_folder_that_is_no_tokenizer_is_an_error(trained: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"no readable tokenizer\.json"):
        load_tokenizer(tmp_path)
    (tmp_path / "tokenizer.json").write_bytes((trained / "tokenizer.json").read_bytes())
    with pytest.raises(ModelError, match=r"source\.spm: No such file"):
        load_tokenizer(tmp_path).encode_source(["a"])
    (tmp_path / "tokenizer.json").write_text(json.dumps({"kind": "train"}))
    with pytest.raises(ModelError, match=r"no readable tokenizer\.json"):
        load_tokenizer(tmp_path)


def test_too_many_subwords_or_no_rows_are_told(corpus: Artifact, tmp_path: Path) -> None:
    with pytest.raises(
        ModelError, match=r"could not train 8000 subwords on 300 rows: .*change tokenizer.vocabulary_size"
    ):
        make(tmp_path / "a", {"corpus": corpus})
    empty = artifact_of_tables(tmp_path / "c", "corpus", {"valid-00000": pairs(["One"], ["Eins"])})
    with pytest.raises(DataError, match="train split has no row"):
        make(tmp_path / "b", {"corpus": empty})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kind": "file"}, "source_model: required"),
        ({"kind": "teacher", "vocabulary_size": 100}, "vocabulary_size: not used with kind = 'teacher'"),
        ({"source_model": "a.spm"}, "source_model: not used with kind = 'train'"),
        ({"vocabulary_size": 3}, "greater than or equal"),
        ({"kind": "sentencepiece"}, "Input should be"),
    ],
)
def test_faulty_options_are_told(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        tokenizer.Config.model_validate(options)


@pytest.mark.parametrize(("kind", "nodes"), [("train", ("corpus",)), ("teacher", ("teacher",)), ("none", ())])
def test_inputs_hang_on_the_kind(kind: str, nodes: tuple[str, ...]) -> None:
    assert tokenizer.inputs(tokenizer.Config.model_validate({"kind": kind})) == nodes
