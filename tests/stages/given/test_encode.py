"""N-best lists of given translations: the recipe's subwords, or those that were given where they spell the text."""

from pathlib import Path

import pyarrow as pa
import pytest

from data import schema
from data.artifact import Artifact
from data.errors import ModelError
from data.model_folder import load_teacher_info, read_vocabulary
from data.runtime import Runtime
from stages.given import encode
from stages.given import stage as given
from stages.text.tokenizer import load_tokenizer
from stages.tokenizer import stage as tokenizer
from tests.fixtures.artifacts import artifact_of_folder, artifact_of_tables, closed, new_artifact, words_tokenizer
from tests.fixtures.tiny_teacher import write_tiny_teacher
from tests.stages.given.corpus import row

SENTENCES = [f"el gat número {number} menja peix a la cuina" for number in range(30)]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("store")


@pytest.fixture(scope="module")
def subwords(store: Path) -> Artifact:
    """A tokenizer that was trained on the sentences alone, given ones: it knows no x."""
    texts = artifact_of_tables(store, "corpus", {"train-00000": _table(schema.PAIRS, [row(one) for one in SENTENCES])})
    artifact = new_artifact(store, "tokenizer")
    tokenizer.run({"corpus": texts}, tokenizer.Config(vocabulary_size=34), artifact, Runtime())
    return closed(artifact)


@pytest.fixture(scope="module")
def teacher(store: Path, subwords: Artifact) -> Artifact:
    artifact = new_artifact(store, "teacher")
    given.run({"tokenizer": subwords}, given.Config(path="somewhere", pairs=["es-ca"]), artifact, Runtime())
    return closed(artifact)


def test_the_vocabulary_is_that_of_a_model_trained_here_and_there_is_no_model(teacher: Artifact) -> None:
    info = load_teacher_info(teacher.path())
    tokens = read_vocabulary(teacher.path(), "target")
    assert tokens[:4] == ["<unk>", "<blank>", "<s>", "</s>"]
    assert len(tokens) == len(set(tokens)) == info.target_vocabulary_size == 35, "34 with three specials, and <blank>"
    assert (info.is_given, info.parameters, info.pairs) == (True, 0, ("es-ca",))
    assert not (teacher.path() / "model.bin").exists()


def test_beside_another_teacher_it_has_that_ones_vocabulary(store: Path) -> None:
    first = artifact_of_folder(store, "first", write_tiny_teacher(store / "tiny"))
    artifact = new_artifact(store, "teacher_people")
    words = words_tokenizer(store / "words")
    given.run({"tokenizer": words, "teacher": first}, given.Config(path="x"), artifact, Runtime())
    found, expected = (load_teacher_info(one.path()) for one in (closed(artifact), first))
    assert found.vocabulary_digest == expected.vocabulary_digest


def test_words_between_spaces_are_no_vocabulary(store: Path) -> None:
    with pytest.raises(ModelError, match="tokenizer of kind 'none' knows no subwords"):
        given.run(
            {"tokenizer": words_tokenizer(store / "none")}, given.Config(path="x"), new_artifact(store, "t"), Runtime()
        )


def test_texts_are_split_by_the_tokenizer_and_scores_may_be_missing(teacher: Artifact, subwords: Artifact) -> None:
    texts = [["el gat menja", "la cuina"], []]
    found = _encoded(teacher, subwords, texts, scores=[[None, -0.5], []], tokens=[[None, None], []])
    first, nothing = found["hypotheses"].to_pylist()
    assert [one["text"] for one in first] == texts[0]
    assert [one["score"] for one in first] == [None, -0.5]
    assert {one["teacher"] for one in first} == {"teacher"}
    for one in first:
        assert "".join(one["tokens"]).replace("▁", " ").strip() == one["text"]
    assert nothing == [{"tokens": [], "text": "", "score": schema.UNTRANSLATED_SCORE, "teacher": "teacher"}]
    assert encode.count(found)["untranslated"] == 1


def test_given_tokens_stay_where_they_are_known_and_spell_the_text(teacher: Artifact, subwords: Artifact) -> None:
    model = load_tokenizer(subwords.path())
    text = next(word for word in SENTENCES[0].split() if len(model.encode_target([word])[0]) < len(word))
    letters = ["▁", *text]
    assert set(letters) <= set(model.target_pieces())
    texts = [[text, text, text, "peix"]]
    tokens = [[letters, ["▁never", "seen"], letters[:-1], None]]
    found = _encoded(teacher, subwords, texts, scores=[[None] * 4], tokens=tokens)
    kept, unknown, other, _ = [one["tokens"] for one in found["hypotheses"].to_pylist()[0]]
    assert kept == letters
    assert unknown == other == model.encode_target([text])[0]
    assert encode.count(found)["tokens_not_taken"] == 2


def test_what_the_tokenizer_does_not_know_is_unknown_and_counted(teacher: Artifact, subwords: Artifact) -> None:
    found = _encoded(teacher, subwords, [["gat Ж Ж"]], scores=[[None]], tokens=[[None]])
    tokens = found["hypotheses"].to_pylist()[0][0]["tokens"]
    assert tokens.count("<unk>") == encode.count(found)["unknown_tokens"] == 2
    assert found["hypotheses"].to_pylist()[0][0]["text"] == "gat Ж Ж"


def test_a_tokenizer_learns_of_the_given_texts_too(store: Path) -> None:
    """Of a corpus without references nothing else is in the target's language."""
    rows = [row(f"fila {number}") for number in range(20)]
    texts = artifact_of_tables(store / "mono", "corpus", {"train-00000": _table(schema.PAIRS, rows)})
    lists = [{"id": one["id"], "texts": [f"ñandú {place}"] if place % 2 else []} for place, one in enumerate(rows)]
    empty = [
        {**one, **{name: [None for _ in one["texts"]] for name in ("scores", "tokens", "log_probs")}} for one in lists
    ]
    translations = artifact_of_tables(store / "mono", "given_people", {"train-00000": _table(schema.GIVEN, empty)})
    pieces = []
    for size, inputs in ((19, {"corpus": texts}), (24, {"corpus": texts, "given_people": translations})):
        artifact = new_artifact(store / f"mono-{len(pieces)}", "tokenizer")
        tokenizer.run(inputs, tokenizer.Config(vocabulary_size=size), artifact, Runtime())
        model = tokenizer.write_description(artifact.work_path(), "train")
        pieces.append(set("".join(model.target_pieces())))
    assert "ñ" not in pieces[0]
    assert {"ñ", "ú"} <= pieces[1]


def _table(kind: pa.Schema, rows: list[dict[str, object]]) -> pa.Table:
    return pa.Table.from_pylist(rows, kind)


def _encoded(teacher: Artifact, subwords: Artifact, texts: object, *, scores: object, tokens: object) -> pa.Table:
    content = {"texts": texts, "scores": scores, "tokens": tokens}
    columns = {name: pa.array(value, schema.GIVEN.field(name).type) for name, value in content.items()}
    table = pa.table({"id": pa.array([str(place) for place in range(len(columns["texts"]))]), **columns})
    config = encode.Config()
    loaded = encode.load(config, {"teacher": teacher, "tokenizer": subwords}, Runtime())
    found = encode.run(table, config, loaded)
    assert found.schema.equals(schema.NBEST)
    return found
