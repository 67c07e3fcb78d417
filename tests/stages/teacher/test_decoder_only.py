"""A language model as the teacher, from its checkpoint or a training to n-best lists, calibration and translations."""

import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pydantic import ValidationError

from data import schema
from data.artifact import Artifact
from data.errors import ModelError
from data.model_folder import Prompt, TeacherInfo, load_teacher_info, read_vocabulary, save_teacher_info
from data.runtime import Runtime
from data.soft_targets import unpack
from stages.calibrate import stage as calibrate
from stages.decode import stage as decode
from stages.loaded_model.translate import load_translator, size_on_disk
from stages.score import stage as score
from stages.teacher import stage as teacher
from tests.fixtures.artifacts import artifact_of_folder, artifact_of_tables, closed, new_artifact, words_tokenizer
from tests.fixtures.oracle import continued_log_probs
from tests.fixtures.tiny_language_model import LanguageModelShape, write_tiny_language_model

VOCABULARY = LanguageModelShape().vocabulary()
ASKED = {"template": "a1 a2 {source} a3 a4", "end_token": "a9"}


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_language_model(tmp_path_factory.mktemp("tiny") / "language-model")


def make(store: Path, inputs: dict[str, Artifact] | None = None, **options: object) -> tuple[Artifact, TeacherInfo]:
    output = new_artifact(store, "teacher")
    metrics = teacher.run(inputs or {}, teacher.Config.model_validate(options), output, Runtime())
    json.dumps(metrics)
    artifact = closed(output)
    return artifact, load_teacher_info(artifact.path())


def plain(path: Path, target: Path) -> Path:
    """The same model as anybody would have it, without what Potstill wrote down."""
    folder = shutil.copytree(path, target)
    (folder / "potstill.json").unlink()
    return folder


def sources(rows: int = 20) -> list[str]:
    random = np.random.default_rng(4)
    return [" ".join(f"a{number}" for number in random.integers(0, 36, random.integers(1, 9))) for _ in range(rows)]


def table(texts: list[str]) -> pa.Table:
    return pa.table({"id": [f"{number:032x}" for number in range(len(texts))], "source": texts})


def decoded(inputs: dict[str, Artifact], texts: list[str], **options: object) -> list[list[dict[str, object]]]:
    config = decode.Config.model_validate({"max_decoding_length": 12, "max_batch_tokens": 256, **options})
    result = decode.run(table(texts), config, decode.load(config, inputs, Runtime()))
    return result.column("hypotheses").to_pylist()  # type: ignore[no-any-return]


def test_a_checkpoint_of_a_language_model_says_what_it_is(given: Path, tmp_path: Path) -> None:
    artifact, info = make(
        tmp_path, kind="opennmt", path=str(given / "checkpoint.pt"), source_suffix=["<sep>"], quantization="float32"
    )
    assert (info.architecture, info.source_prefix, info.source_suffix) == ("decoder-only", ("<s>",), ("<sep>",))
    assert read_vocabulary(artifact.path(), "source") == read_vocabulary(artifact.path(), "target") == VOCABULARY
    assert info.parameters == load_teacher_info(given).parameters
    _, prompted = make(tmp_path / "b", kind="opennmt", path=str(given / "checkpoint.pt"), prompt=ASKED)
    assert (prompted.prompt, prompted.end_token) == (Prompt(before="a1 a2 ", after=" a3 a4"), "a9")


def test_a_folder_keeps_what_was_known_of_it_and_its_vocabulary_is_part_of_its_digest(
    given: Path, tmp_path: Path
) -> None:
    artifact, info = make(tmp_path, kind="ctranslate2", path=str(given))
    assert (info.architecture, info.source_prefix, info.source_suffix) == ("decoder-only", ("<s>",), ("<sep>",))
    changed = shutil.copytree(given, tmp_path / "changed")
    (changed / "vocabulary.json").write_text(json.dumps([*VOCABULARY[:-2], "b0", VOCABULARY[-1]]))
    assert make(tmp_path / "b", kind="ctranslate2", path=str(changed))[1].digest != info.digest
    assert size_on_disk(artifact.path(), tmp_path) >= (artifact.path() / "vocabulary.json").stat().st_size


def test_a_language_model_that_is_not_told_how_it_is_asked_is_refused(given: Path, tmp_path: Path) -> None:
    unknown = plain(given, tmp_path / "given")
    with pytest.raises(ModelError, match=r"decoder-only and was not told how it is asked.*set \[teacher\.prompt\]"):
        make(tmp_path / "a", kind="ctranslate2", path=str(unknown))
    told = make(tmp_path / "b", kind="ctranslate2", path=str(unknown), prompt=ASKED)[1]
    assert (told.source_prefix, told.source_suffix) == (("<s>",), ())
    with pytest.raises(ModelError, match=r"end_token: the teacher's vocabulary has no '\\n'; .* <0x0A>"):
        make(tmp_path / "c", kind="ctranslate2", path=str(unknown), prompt={**ASKED, "end_token": "\n"})
    with pytest.raises(ModelError, match="put the tokens into source_suffix"):
        make(tmp_path / "d", kind="ctranslate2", path=str(unknown), prompt=ASKED, target_prefix=["a1"])


def test_a_prompt_for_a_model_that_translates_is_refused(tiny_teacher: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="encoder-decoder and reads the source alone"):
        make(tmp_path, kind="ctranslate2", path=str(tiny_teacher), prompt=ASKED)


def test_options_that_do_not_belong_together() -> None:
    with pytest.raises(ValidationError, match="prompt: not used with kind = 'train'"):
        teacher.Config.model_validate({"prompt": ASKED})
    with pytest.raises(ValidationError, match="architecture: not used with kind = 'opennmt'"):
        teacher.Config.model_validate({"kind": "opennmt", "path": "a.pt", "architecture": "decoder-only"})
    with pytest.raises(ValidationError, match="a decoder-only teacher has no encoder_layers"):
        teacher.Config.model_validate({"architecture": "decoder-only", "model": {"encoder_layers": 2}})


@pytest.mark.parametrize("prompted", [False, True])
def test_what_is_decoded_is_scored_and_translated_alike(given: Path, tmp_path: Path, prompted: bool) -> None:
    folder = shutil.copytree(given, tmp_path / "given")
    if prompted:
        asked = {"prompt": Prompt(before="a1 a2 ", after=" a3 a4"), "source_suffix": (), "end_token": "a9"}
        save_teacher_info(folder, load_teacher_info(folder).model_copy(update=asked))
    end, texts = ("a9" if prompted else "</s>"), sources()
    inputs = {"teacher": artifact_of_folder(tmp_path, "teacher", folder), "tokenizer": words_tokenizer(tmp_path)}
    found = decoded(inputs, texts)
    best: list[list[str]] = [row[0]["tokens"] for row in found]  # type: ignore[misc]
    for text, row in zip(texts, found, strict=True):
        prompt = ["<s>", *(["a1", "a2"] if prompted else []), *text.split(), *(["a3", "a4"] if prompted else ["<sep>"])]
        tokens: list[str] = row[0]["tokens"]  # type: ignore[assignment]
        log_probs = continued_log_probs(folder / "checkpoint.pt", prompt, tokens, end)
        ids = [VOCABULARY.index(token) for token in [*tokens, end]][: len(tokens) + (len(tokens) < 12)]
        total = log_probs[range(len(ids)), ids].sum() - np.log1p(-np.exp(log_probs[0, VOCABULARY.index(end)]))
        assert row[0]["score"] == pytest.approx(total / len(ids), abs=1e-4)
    data = (
        table(texts)
        .append_column("target_tokens", pa.array(best))
        .append_column("metric", pa.array(["score"] * len(texts)))
    )
    config = score.Config(k=3)
    forced = score.run(data, config, score.load(config, inputs, Runtime()))
    assert forced.column("length").to_pylist() == [len(tokens) + 1 for tokens in best]
    translator = load_translator(folder, tokenizer=score.load(config, inputs, Runtime()).tokenizer, threads=2)
    longer = decoded(inputs, texts, max_decoding_length=256)
    translated = translator.translate(texts, beam_size=5, batch_tokens=64)
    assert [one.text for one in translated] == [row[0]["text"] for row in longer]
    assert [one.tokens for one in translated] == [len(row[0]["tokens"]) for row in longer]  # type: ignore[arg-type]


def test_a_source_that_the_model_has_no_room_for_is_not_asked(tmp_path: Path) -> None:
    folder = write_tiny_language_model(tmp_path / "short", shape=LanguageModelShape(positions=32))
    inputs = {"teacher": artifact_of_folder(tmp_path, "teacher", folder), "tokenizer": words_tokenizer(tmp_path)}
    # 32 positions: <s>, the source, <sep>, 12 for the target, and two to spare.
    found = decoded(inputs, [" ".join(["a1"] * length) for length in (16, 17, 40)] + [""])
    assert [len(row) for row in found] == [5, 1, 1, 1]
    assert [row[0]["score"] for row in found[1:]] == [schema.UNTRANSLATED_SCORE] * 3
    with pytest.raises(ModelError, match=r"decode\.max_decoding_length: 30 tokens leave the teacher no positions"):
        decoded(inputs, ["a1"], max_decoding_length=100)
    with pytest.raises(ModelError, match=r"decode\.shortlist: CTranslate2 has none for a decoder-only teacher"):
        resources = {**inputs, "calibrate": artifact_of_tables(tmp_path, "calibrate", {})}
        decoded(resources, ["a1"], shortlist=10)


def test_a_prompt_does_not_count_as_source(given: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(given, tmp_path / "given")
    asked = {"prompt": Prompt(before="a1 " * 30, after=" a3"), "source_suffix": ()}
    save_teacher_info(folder, load_teacher_info(folder).model_copy(update=asked))
    inputs = {"teacher": artifact_of_folder(tmp_path, "teacher", folder), "tokenizer": words_tokenizer(tmp_path)}
    found = decoded(inputs, ["a1 a2 a3", "a1 a2 a3 a4", ""], max_source_tokens=3)
    assert [len(row) for row in found] == [5, 1, 1]


def test_calibration_tries_whole_prompts(given: Path, tmp_path: Path) -> None:
    corpus = artifact_of_tables(tmp_path, "corpus", {"train-00000": table(sources(60))})
    inputs = {
        "corpus": corpus,
        "teacher": artifact_of_folder(tmp_path, "teacher", given),
        "tokenizer": words_tokenizer(tmp_path),
    }
    output = new_artifact(tmp_path, "calibrate")
    metrics = calibrate.run(inputs, calibrate.Config(max_decoding_length=12), output, Runtime(threads=2))
    assert metrics["replicas"] == 2
    assert str(metrics["max_batch_tokens"]) in metrics["rows_per_second"]


@pytest.mark.slow
def test_a_language_model_that_was_trained_here_translates(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    texts = [" ".join(f"w{number}" for number in random.integers(0, 12, random.integers(2, 6))) for _ in range(400)]
    pairs = table(texts).append_column("reference", pa.array(texts))
    shards = {"train-00000": pairs.slice(0, 380), "valid-00000": pairs.slice(380)}
    inputs = {"corpus": artifact_of_tables(tmp_path, "corpus", shards), "tokenizer": words_tokenizer(tmp_path)}
    artifact, info = make(
        tmp_path,
        inputs,
        kind="train",
        architecture="decoder-only",
        quantization="float32",
        model={
            "decoder_layers": 2,
            "width": 32,
            "heads": 2,
            "feed_forward": 64,
            "dropout": 0.0,
            "attention_dropout": 0.0,
        },
        optimiser={"steps": 600, "batch_tokens": 256, "warmup_steps": 100, "learning_rate": 1.0, "validate_every": 0},
    )
    assert (info.architecture, info.source_prefix, info.source_suffix) == ("decoder-only", ("<s>",), ("<sep>",))
    assert set(read_vocabulary(artifact.path(), "target")[4:]) == {*(f"w{number}" for number in range(12)), "<sep>"}
    found = decoded({"teacher": artifact, "tokenizer": inputs["tokenizer"]}, texts[:40])
    copied = [row[0]["text"] == text for row, text in zip(found, texts[:40], strict=True)]
    assert np.mean(copied) > 0.5


@pytest.mark.slow
def test_a_causal_model_of_transformers_is_asked_in_words(tmp_path: Path) -> None:
    import torch
    from sentencepiece import SentencePieceProcessor
    from transformers import LlamaForCausalLM

    from stages.tokenizer import stage as tokenizer
    from tests.fixtures.hub_models import write_llama

    source = write_llama(tmp_path / "llama")
    asked = {
        "source_language": "English",
        "target_language": "German",
        "examples": [{"source": "the dog", "target": "der Hund"}],
        "end_token": "<0x0A>",
    }
    artifact, info = make(tmp_path, kind="transformers", path=str(source), quantization="float32", prompt=asked)
    assert (info.architecture, info.source_prefix, info.end_token) == ("decoder-only", ("<s>",), "<0x0A>")
    output = new_artifact(tmp_path, "tokenizer")
    tokenizer.run({"teacher": artifact}, tokenizer.Config(kind="teacher"), output, Runtime())
    inputs = {"teacher": artifact, "tokenizer": closed(output)}
    texts = ["the quick fox", "lazy dogs", "number 7"]
    best = [row[0]["tokens"] for row in decoded(inputs, texts)]
    data = table(texts).append_column("target_tokens", pa.array(best)).append_column("metric", pa.array(["score"] * 3))
    config = score.Config(k=4)
    forced = unpack(score.run(data, config, score.load(config, inputs, Runtime())))
    model = LlamaForCausalLM.from_pretrained(source).double().eval()
    subwords = SentencePieceProcessor(model_file=str(source / "tokenizer.model"))
    for text, tokens, row in zip(texts, best, forced, strict=True):
        prompt = f"English: the dog\nGerman: der Hund\nEnglish: {text}\nGerman:"
        ids = [1, *subwords.encode(prompt), *(subwords.piece_to_id(token) for token in tokens)]  # type: ignore[union-attr]
        with torch.no_grad():
            logits = model(torch.tensor([ids])).logits[0, -len(tokens) - 1 :]  # type: ignore[arg-type]
        log_probs = torch.log_softmax(logits, dim=-1).numpy()
        end = subwords.piece_to_id("<0x0A>")
        expected = log_probs[range(len(log_probs)), [*ids[len(ids) - len(tokens) :], end]]  # type: ignore[arg-type]
        np.testing.assert_allclose(row.token_log_probs, expected, rtol=1e-3, atol=5e-4)
        np.testing.assert_allclose(row.topk_log_probs, -np.sort(-log_probs, axis=1)[:, :4], rtol=1e-3, atol=5e-4)
