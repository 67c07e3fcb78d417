"""Beam search: scores against OpenNMT-py in float64, every row in its place, and the same bytes every time."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pydantic import ValidationError

from data.artifact import Artifact
from data.errors import ModelError
from data.model_folder import load_teacher_info, save_teacher_info
from data.parquet import encode
from data.runtime import Runtime
from data.schema import UNTRANSLATED_SCORE
from stages.decode import stage as decode
from stages.loaded_model.engine import TranslatorEngine
from stages.loaded_model.model import token_batches
from stages.tokenizer import stage as tokenizer
from tests.fixtures.artifacts import artifact_of_folder, artifact_of_tables, closed, new_artifact, words_tokenizer
from tests.fixtures.oracle import forced_log_probs
from tests.fixtures.tiny_teacher import SPECIALS, TinyShape, write_tiny_teacher

LONGEST = 24
QUIET = {"cut_off": 0, "repeated": 0, "batches_halved": 0}


class CountingTranslator:
    """Passes everything on to another and keeps what it was asked; runs out of memory beyond `room` tokens."""

    def __init__(self, translator: Any, room: int = 10**6) -> None:
        self._translator, self._room = translator, room
        self.asked: list[list[str]] = []
        self.device, self.compute_type = translator.device, translator.compute_type

    def translate_batch(self, source: list[list[str]], **options: Any) -> Any:
        if len(source) * max(map(len, source)) > self._room:
            return [OutOfMemory()] * len(source)
        self.asked += source
        return self._translator.translate_batch(source, **options)


class OutOfMemory:
    def result(self) -> None:
        raise RuntimeError("CUDA failed with error out of memory")


def with_translator(resources: decode.Resources, translator: CountingTranslator) -> decode.Resources:
    engine = TranslatorEngine(translator)  # type: ignore[arg-type]
    return replace(resources, teacher=replace(resources.teacher, engine=engine))


@pytest.fixture(scope="module")
def artifacts(tiny_teacher: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Artifact]:
    store = tmp_path_factory.mktemp("store")
    return {"teacher": artifact_of_folder(store, "teacher", tiny_teacher), "tokenizer": words_tokenizer(store)}


def sources(rows: int = 24, seed: int = 1) -> list[str]:
    random = np.random.default_rng(seed)
    return [" ".join(f"a{number}" for number in random.integers(0, 36, random.integers(1, 12))) for _ in range(rows)]


def table(texts: list[str]) -> pa.Table:
    return pa.table({"id": pa.array([f"{number:032x}" for number in range(len(texts))]), "source": pa.array(texts)})


def run(artifacts: dict[str, Artifact], texts: list[str], **options: object) -> pa.Table:
    config = decode.Config.model_validate({"max_decoding_length": LONGEST, "max_batch_tokens": 512, **options})
    return decode.run(table(texts), config, decode.load(config, artifacts, Runtime()))


def hypotheses(result: pa.Table) -> list[list[dict[str, object]]]:
    return result.column("hypotheses").to_pylist()  # type: ignore[no-any-return]


@pytest.mark.parametrize("length_penalty", [0.0, 0.6, 1.0])
@pytest.mark.parametrize("tags", [(), ("a32", "a33")])
def test_scores_are_sums_of_the_teachers_log_probabilities(
    artifacts: dict[str, Artifact], tiny_teacher: Path, tmp_path: Path, length_penalty: float, tags: tuple[str, ...]
) -> None:
    folder = shutil.copytree(tiny_teacher, tmp_path / "tagged")
    save_teacher_info(folder, load_teacher_info(folder).model_copy(update={"target_prefix": tags}))
    tagged = {**artifacts, "teacher": artifact_of_folder(tmp_path / "store", "teacher", folder)}
    texts = sources(8)
    for text, row in zip(texts, hypotheses(run(tagged, texts, length_penalty=length_penalty)), strict=True):
        for one in row:
            target: list[str] = one["tokens"]  # type: ignore[assignment]
            log_probs = forced_log_probs(tiny_teacher / "checkpoint.pt", text.split(), target, prefix=tags)
            ids = [len(SPECIALS) + int(token[1:]) for token in target] + [SPECIALS.index("</s>")]
            finished = len(tags) + len(target) < LONGEST
            steps = len(target) + finished
            total = log_probs[range(steps), ids[:steps]].sum()
            if not tags:
                # The search never ends at the first step, so there the others share the mass of </s>.
                total -= np.log1p(-np.exp(log_probs[0, SPECIALS.index("</s>")]))
            assert one["score"] == pytest.approx(total / steps**length_penalty, abs=1e-4)


def test_every_row_keeps_its_place_whatever_its_length(artifacts: dict[str, Artifact]) -> None:
    texts = sources()
    together = run(artifacts, texts)
    assert together.schema.equals(decode.SCHEMA)
    assert together.column("id").to_pylist() == table(texts).column("id").to_pylist()
    alone = [hypotheses(run(artifacts, [text]))[0] for text in texts]
    for one, other in zip(hypotheses(together), alone, strict=True):
        assert [entry["tokens"] for entry in one] == [entry["tokens"] for entry in other]
    assert len({json.dumps(row) for row in alone}) > len(texts) / 2


def test_n_best_is_sorted_whole_and_readable(artifacts: dict[str, Artifact]) -> None:
    for row in hypotheses(run(artifacts, sources(), beam_size=6, num_hypotheses=4)):
        scores = [entry["score"] for entry in row]
        assert len(row) == 4
        assert scores == sorted(scores, reverse=True)
        assert len({tuple(entry["tokens"]) for entry in row}) == 4  # type: ignore[arg-type]
        assert all(entry["text"] == " ".join(entry["tokens"]) for entry in row)  # type: ignore[arg-type]


def test_a_shard_gives_the_same_bytes_in_any_worker(artifacts: dict[str, Artifact]) -> None:
    texts = sources(12)
    config = decode.Config(max_decoding_length=LONGEST, max_batch_tokens=512)
    first, second = (decode.load(config, artifacts, Runtime(threads=threads)) for threads in (1, 2))
    once = encode(decode.run(table(texts), config, first))
    decode.run(table(sources(12, seed=2)), config, second)
    assert encode(decode.run(table(texts), config, second)) == once


def test_what_the_teacher_cannot_take_comes_out_empty_and_is_counted(artifacts: dict[str, Artifact]) -> None:
    texts = ["a1 a2", " ".join(["a1"] * 20), "", "a3"]
    result = run(artifacts, texts, max_source_tokens=19)
    empty = [{"tokens": [], "text": "", "score": UNTRANSLATED_SCORE, "teacher": "teacher"}]
    found = hypotheses(result)
    assert (found[1], found[2]) == (empty, empty)
    assert len(found[0]) == len(found[3]) == 5
    tokens = sum(len(entry["tokens"]) for row in found for entry in row)  # type: ignore[misc, arg-type]
    assert decode.count(result) == {"hypotheses": 12, "tokens": tokens, "untranslated": 2, **QUIET}
    assert run(artifacts, []).num_rows == 0
    assert decode.count(run(artifacts, [])) == {"hypotheses": 0, "tokens": 0, "untranslated": 0, **QUIET}


def test_rows_of_other_languages_are_not_translated_and_hypotheses_bear_the_teachers_name(
    artifacts: dict[str, Artifact], tiny_teacher: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(tiny_teacher, tmp_path / "german")
    save_teacher_info(folder, load_teacher_info(folder).model_copy(update={"pairs": ("en-de", "en-nl")}))
    own = {**artifacts, "teacher": artifact_of_folder(tmp_path / "store", "teacher_german", folder)}
    config = decode.Config(max_decoding_length=LONGEST, max_batch_tokens=512)
    texts = table(["a1 a2", "a1 a2", "a3", "a4", "a3"])
    for name, tags in {"source_language": ["en"] * 5, "target_language": ["de", "fr", "nl", "fr", "de"]}.items():
        texts = texts.append_column(name, pa.array(tags))
    result = decode.run(texts, config, decode.load(config, own, Runtime()))
    german, french, dutch, _, again = hypotheses(result)
    assert [one["tokens"] for one in again] == [one["tokens"] for one in dutch]
    counted = decode.count(result)
    assert (counted["untranslated"], counted["repeated"]) == (2, 1), "what is not translated repeats nothing"
    assert [len(row) for row in (german, french, dutch)] == [5, 1, 5]
    assert french == [{"tokens": [], "text": "", "score": UNTRANSLATED_SCORE, "teacher": "german"}]
    assert {one["teacher"] for one in (*german, *dutch)} == {"german"}


def test_equal_sources_are_translated_once(artifacts: dict[str, Artifact]) -> None:
    texts = sources(6)
    mixed = [texts[number] for number in (3, 0, 3, 5, 1, 2, 4, 3, 1)]
    resources = decode.load(decode.Config(max_batch_tokens=512), artifacts, Runtime())
    counted = CountingTranslator(resources.teacher.engine.translator)  # type: ignore[attr-defined]
    resources = with_translator(resources, counted)
    result = decode.run(table(mixed), decode.Config(max_decoding_length=LONGEST, max_batch_tokens=512), resources)
    assert sorted(counted.asked) == sorted(text.split() for text in texts)
    assert decode.count(result)["repeated"] == 3
    alone = dict(zip(texts, hypotheses(run(artifacts, texts)), strict=True))
    for text, row in zip(mixed, hypotheses(result), strict=True):
        assert [one["tokens"] for one in row] == [one["tokens"] for one in alone[text]]


def test_a_lack_of_memory_halves_batches_and_loses_nothing(artifacts: dict[str, Artifact]) -> None:
    texts = sources(40)
    config = decode.Config(max_decoding_length=LONGEST, max_batch_tokens=200)
    resources = decode.load(config, artifacts, Runtime())
    expected = decode.run(table(texts), config, resources)
    small = CountingTranslator(resources.teacher.engine.translator, room=60)  # type: ignore[attr-defined]
    found = decode.run(table(texts), config, with_translator(resources, small))
    assert decode.count(found)["batches_halved"] == 2
    for one, other in zip(hypotheses(found), hypotheses(expected), strict=True):
        assert [entry["tokens"] for entry in one] == [entry["tokens"] for entry in other]


def test_a_teacher_with_few_positions_takes_what_it_can(tmp_path: Path) -> None:
    folder = write_tiny_teacher(tmp_path / "short", shape=TinyShape(positions=16))
    short = {"teacher": artifact_of_folder(tmp_path, "teacher", folder), "tokenizer": words_tokenizer(tmp_path)}
    texts = [" ".join(["a1"] * length) for length in (14, 15, 40)]
    found = hypotheses(run(short, texts + sources(), max_decoding_length=100))
    assert [len(row) for row in found[:3]] == [5, 1, 1]
    # Some of them would go on for ever; those that were cut off are counted.
    cut_off = sum(len(entry["tokens"]) == 14 for row in found for entry in row)  # type: ignore[arg-type]
    assert decode.count(run(short, texts + sources(), max_decoding_length=100))["cut_off"] == cut_off > 0
    assert max(len(entry["tokens"]) for row in found for entry in row) == 14  # type: ignore[arg-type]


def test_how_it_was_searched_is_in_the_metadata(artifacts: dict[str, Artifact]) -> None:
    result = run(artifacts, sources(2), length_penalty=0.6)
    told = json.loads(result.schema.metadata[decode.METADATA_KEY])
    assert (told["length_penalty"], told["beam_size"], told["compute_type"]) == (0.6, 5, "float32")


def test_a_beam_yields_no_more_than_its_size() -> None:
    with pytest.raises(ValidationError, match="num_hypotheses 5 is more than beam_size 4"):
        decode.Config(beam_size=4)


def test_a_tokenizer_of_another_model_is_refused(artifacts: dict[str, Artifact], tmp_path: Path) -> None:
    corpus = pa.table({"source": sources(60), "reference": sources(60, seed=5)})
    output = new_artifact(tmp_path, "tokenizer")
    config = tokenizer.Config(kind="train", vocabulary_size=20)
    inputs = {"corpus": artifact_of_tables(tmp_path, "corpus", {"train-00000": corpus})}
    tokenizer.run(inputs, config, output, Runtime())
    with pytest.raises(ModelError, match=r"does not belong to the teacher: \d+ of its \d+ source subwords.*'▁a"):
        decode.load(decode.Config(max_batch_tokens=512), {**artifacts, "tokenizer": closed(output)}, Runtime())


def test_a_teacher_that_cannot_be_loaded_is_named(artifacts: dict[str, Artifact], tmp_path: Path) -> None:
    folder = shutil.copytree(artifacts["teacher"].path(), tmp_path / "broken")
    (folder / "manifest.json").unlink()
    (folder / "model.bin").write_bytes((folder / "model.bin").read_bytes()[:-1000])
    broken = {**artifacts, "teacher": artifact_of_folder(tmp_path / "store", "teacher", folder)}
    with pytest.raises(ModelError, match="CTranslate2 cannot load this model on cpu as float32"):
        decode.load(decode.Config(max_batch_tokens=512), broken, Runtime())


def test_batches_hold_similar_rows_within_the_bound() -> None:
    random = np.random.default_rng(0)
    sizes = [(int(first), int(second)) for first, second in random.integers(1, 40, (200, 2))]
    batches = list(token_batches(range(200), sizes, 100))
    assert sorted(row for batch in batches for row in batch) == list(range(200))
    for batch in batches:
        assert len(batch) * max(max(sizes[row]) for row in batch) <= 100 or len(batch) == 1
    first = [sizes[row][0] for batch in batches for row in batch]
    assert first == sorted(first, reverse=True)
    assert [len(batch) for batch in token_batches([0, 1], [(500,), (600,)], 100)] == [1, 1]
