"""Teachers from everywhere: each ends as a CTranslate2 folder that translates as the original does."""

import argparse
import json
import pickle
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pydantic import ValidationError

from data.artifact import Artifact
from data.errors import ModelError
from data.model_folder import TeacherInfo, load_teacher_info, read_vocabulary
from data.runtime import Runtime
from stages.decode import stage as decode
from stages.score import stage as score
from stages.teacher import stage as teacher
from tests.fixtures.artifacts import artifact_of_tables, closed, new_artifact, words_tokenizer
from tests.fixtures.hub_models import write_m2m100, write_marian, write_marian_mt
from tests.fixtures.tiny_teacher import TinyShape, write_tiny_checkpoint, write_tiny_teacher


def make(store: Path, inputs: dict[str, Artifact] | None = None, **options: object) -> tuple[Path, TeacherInfo]:
    config = teacher.Config.model_validate(options)
    assert set(inputs or {}) == set(teacher.inputs(config))
    output = new_artifact(store, "teacher")
    metrics = teacher.run(inputs or {}, config, output, Runtime())
    json.dumps(metrics)
    assert not (Path(output.url.removeprefix("file://")) / "manifest.json").exists()
    folder = closed(output).path()
    assert not [path for path in folder.iterdir() if path.name.startswith(".")]
    info = load_teacher_info(folder)
    assert metrics["parameters"] == info.parameters
    return folder, info


def translate(folder: Path, tokens: list[str]) -> list[str]:
    import ctranslate2

    info = load_teacher_info(folder)
    translator = ctranslate2.Translator(str(folder), compute_type=info.quantization)
    source = [*info.source_prefix, *tokens, *info.source_suffix]
    prefix = [list(info.target_prefix)] if info.target_prefix else None
    result = translator.translate_batch([source], target_prefix=prefix, beam_size=1, max_decoding_length=12)
    return result[0].hypotheses[0][len(info.target_prefix) :]  # type: ignore[no-any-return]


def test_an_opennmt_checkpoint_becomes_the_best_type_for_this_machine(tiny_teacher: Path, tmp_path: Path) -> None:
    folder, info = make(tmp_path, kind="opennmt", path=str(tiny_teacher / "checkpoint.pt"))
    assert (info.kind, info.quantization, info.parameters) == ("opennmt", "int8", 8128)
    assert (info.source_suffix, info.target_prefix) == ((), ())
    assert read_vocabulary(folder, "target") == TinyShape().vocabulary()
    assert (folder / "checkpoint.pt").is_file()
    exact, info = make(tmp_path / "b", kind="opennmt", path=str(tiny_teacher / "checkpoint.pt"), quantization="float32")
    assert info.quantization == "float32"
    assert translate(exact, ["a1", "a7"]) == translate(tiny_teacher, ["a1", "a7"])


def test_a_ctranslate2_folder_may_have_its_checkpoint_put_back(tmp_path: Path) -> None:
    folder = write_tiny_teacher(tmp_path / "given")
    (folder / "checkpoint.pt").unlink()
    without, _ = make(tmp_path / "a", kind="ctranslate2", path=str(folder))
    assert not (without / "checkpoint.pt").exists()
    made, _ = make(tmp_path / "b", kind="ctranslate2", path=str(folder), restore_checkpoint=True)
    artifacts = {"teacher": new_artifact(tmp_path / "b", "teacher"), "tokenizer": words_tokenizer(tmp_path)}
    assert score.load(score.Config(backend="torch", k=4), artifacts, Runtime()).backend == "torch"
    again, _ = make(tmp_path / "c", kind="opennmt", path=str(made / "checkpoint.pt"), quantization="float32")
    assert translate(again, ["a1", "a7"]) == translate(folder, ["a1", "a7"])
    with pytest.raises(ValidationError, match="restore_checkpoint: not used with kind = 'opennmt'"):
        teacher.Config(kind="opennmt", path="model.pt", restore_checkpoint=True)
    (folder / "config.json").write_text('{"decoder_start_token": "</s>"}')
    config = teacher.Config(kind="ctranslate2", path=str(folder), restore_checkpoint=True)
    assert "teacher.path: " in teacher.faults(config)[0]
    assert "or its targets not with <s>" in teacher.faults(config)[0]


def test_what_training_needs_and_teaching_does_not_is_left_out(tmp_path: Path) -> None:
    import torch

    path = write_tiny_checkpoint(tmp_path / "model.pt", attention="scaled-dot-flash")
    with torch.serialization.safe_globals([argparse.Namespace]):
        content = torch.load(path, weights_only=True)
    torch.save({**content, "optim": {"state": torch.zeros(100_000)}}, path)
    folder, info = make(tmp_path, kind="opennmt", path=str(path))
    assert path.stat().st_size - (folder / "checkpoint.pt").stat().st_size > 390_000
    assert info.parameters == 8128
    data = score.Config(backend="torch", k=4)
    artifacts = {"teacher": new_artifact(tmp_path, "teacher"), "tokenizer": words_tokenizer(tmp_path)}
    assert score.load(data, artifacts, Runtime()).backend == "torch"


def test_a_checkpoint_that_would_run_code_is_refused(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[object, ...]:
            return Path.touch, (tmp_path / "sprung",)

    (tmp_path / "evil.pt").write_bytes(
        pickle.dumps({"model": Trap(), "generator": {}, "vocab": {}, "opt": {}}, protocol=2)
    )
    with pytest.raises(ModelError, match=r"evil\.pt"):
        make(tmp_path, kind="opennmt", path=str(tmp_path / "evil.pt"))
    assert not (tmp_path / "sprung").exists()


def test_a_ctranslate2_folder_comes_whole_and_keeps_what_potstill_knew(tiny_teacher: Path, tmp_path: Path) -> None:
    source = shutil.copytree(tiny_teacher, tmp_path / "given")
    (source / "source.spm").write_bytes(b"subwords")
    (source / "manifest.json").write_text("another artefact's")
    folder, info = make(tmp_path, kind="ctranslate2", path=str(source))
    assert (info.kind, info.quantization) == ("ctranslate2", "int8")
    for name in ("model.bin", "config.json", "shared_vocabulary.json", "checkpoint.pt", "source.spm"):
        assert (folder / name).read_bytes() == (source / name).read_bytes()
    tags = load_teacher_info(source).model_copy(update={"target_prefix": ("a9",), "source_suffix": ("a8",)})
    (source / "potstill.json").write_text(tags.model_dump_json())
    info = make(tmp_path / "b", kind="ctranslate2", path=str(source))[1]
    assert (info.source_suffix, info.target_prefix) == (("a8",), ("a9",))
    info = make(tmp_path / "c", kind="ctranslate2", path=str(source), source_suffix=[], target_prefix=["a7"])[1]
    assert (info.source_suffix, info.target_prefix) == ((), ("a7",))


def test_tags_that_the_model_does_not_know_are_told(tiny_teacher: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"teacher\.target_prefix: .* has no 'deu_Latn'; it has no language tags"):
        make(tmp_path, kind="ctranslate2", path=str(tiny_teacher), target_prefix=["deu_Latn"])


def test_a_marian_model_translates_and_wants_no_suffix(tmp_path: Path) -> None:
    source = write_marian(tmp_path / "opus")
    folder, info = make(tmp_path, kind="marian", path=str(source), quantization="float32")
    assert info.source_suffix == ()
    weights = np.load(source / "model.npz")
    assert info.parameters == sum(weights[name].size for name in weights if not name.startswith("special"))
    assert read_vocabulary(folder, "target")[:2] == ["</s>", "<unk>"]
    assert (folder / "source.spm").read_bytes() == (source / "source.spm").read_bytes()
    assert translate(folder, ["▁the"])
    # Subwords that lie beside the model are taken with it, so they are a part of what it is.
    config = teacher.Config.model_validate({"kind": "marian", "path": str(source / "model.npz")})
    assert source / "source.spm" in teacher.external_files(config)
    vocabulary = str(source / "vocab.yml")
    named = {"path": str(source / "model.npz"), "vocabularies": [vocabulary, vocabulary], "quantization": "float32"}
    assert make(tmp_path / "b", kind="marian", **named)[1].digest == info.digest


def test_a_marian_vocabulary_may_be_a_sentencepiece_model_or_a_list(tmp_path: Path) -> None:
    import sentencepiece

    source = write_marian(tmp_path / "opus")
    subwords = tmp_path / "vocab.deen.spm"
    # As Marian trains them: </s> and <unk> first, nothing else that is special.
    with subwords.open("wb") as stream:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(["the quick brown fox jumps over lazy dogs number"] * 50),
            model_writer=stream,
            vocab_size=len((source / "vocab.yml").read_text().splitlines()),
            hard_vocab_limit=False,
            eos_id=0,
            unk_id=1,
            bos_id=-1,
            pad_id=-1,
            minloglevel=2,
        )
    pieces = sentencepiece.SentencePieceProcessor(model_file=str(subwords))
    tokens = [pieces.id_to_piece(number) for number in range(pieces.get_piece_size())]
    weights = dict(np.load(source / "model.npz"))
    weights["Wemb"] = weights["Wemb"][: len(tokens)]
    weights["decoder_ff_logit_out_b"] = weights["decoder_ff_logit_out_b"][:, : len(tokens)]
    alone = tmp_path / "alone"
    alone.mkdir()
    np.savez(alone / "model.npz", **weights)
    named = {"kind": "marian", "path": str(alone / "model.npz"), "quantization": "float32"}
    folder, info = make(tmp_path / "a", vocabularies=[str(subwords), str(subwords)], **named)
    assert read_vocabulary(folder, "source") == read_vocabulary(folder, "target") == tokens
    assert (folder / "source.spm").read_bytes() == (folder / "target.spm").read_bytes() == subwords.read_bytes()
    (tmp_path / "plain.vocab").write_text("\n".join(tokens) + "\n", encoding="utf-8")
    plain = make(tmp_path / "b", vocabularies=[str(tmp_path / "plain.vocab")] * 2, **named)[1]
    assert plain.digest == info.digest
    (tmp_path / "broken.vocab").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ModelError, match=r"broken\.vocab is no vocabulary of Marian"):
        make(tmp_path / "c", vocabularies=[str(tmp_path / "broken.vocab")] * 2, **named)


@pytest.mark.slow
def test_a_marian_model_of_transformers_gets_its_end_mark(tmp_path: Path) -> None:
    import torch
    from transformers import MarianMTModel, MarianTokenizer

    source = write_marian_mt(tmp_path / "marian")
    folder, info = make(tmp_path, kind="transformers", path=str(source), quantization="float32")
    assert (info.source_suffix, info.target_prefix) == (("</s>",), ())
    assert (folder / "target.spm").is_file()
    tokenizer = MarianTokenizer.from_pretrained(source)
    model = MarianMTModel.from_pretrained(source).eval()
    texts = ["the quick brown fox", "over 7 lazy dogs", "number 14"]
    results = []
    for text in texts:
        with torch.no_grad():
            made = model.generate(
                **tokenizer(text, return_tensors="pt"), num_beams=1, do_sample=False, max_new_tokens=12
            )
        results.append(tokenizer.convert_ids_to_tokens(made[0][1:]))
    ours = [translate(folder, tokenizer.convert_ids_to_tokens(tokenizer(text).input_ids[:-1])) for text in texts]
    assert [row[:8] for row in ours] == [row[:8] for row in results]


@pytest.mark.slow
def test_a_model_of_many_languages_must_be_told_which(tmp_path: Path) -> None:
    import torch
    from transformers import M2M100ForConditionalGeneration, M2M100Tokenizer

    source = write_m2m100(tmp_path / "m2m")
    with pytest.raises(ModelError, match=r"tags as of M2M-100: __af__.*set teacher\.target_prefix"):
        make(tmp_path, kind="transformers", path=str(source))
    tags = {"source_prefix": ["__en__"], "target_prefix": ["__de__"]}
    folder, info = make(tmp_path / "b", kind="transformers", path=str(source), quantization="float32", **tags)
    assert info.source_suffix == ("</s>",)
    tokenizer = M2M100Tokenizer.from_pretrained(source, src_lang="en", tgt_lang="de")
    model = M2M100ForConditionalGeneration.from_pretrained(source).eval()
    given = tokenizer("the quick fox", return_tensors="pt")
    german = tokenizer.get_lang_id("de")
    with torch.no_grad():
        made = model.generate(**given, forced_bos_token_id=german, num_beams=1, do_sample=False, max_new_tokens=10)
    expected = tokenizer.convert_ids_to_tokens(made[0])[2:]
    tokens = tokenizer.convert_ids_to_tokens(given.input_ids[0])[1:-1]
    assert translate(folder, tokens)[: len(expected)] == expected
    assert (folder / "sentencepiece.bpe.model").is_file()


@pytest.mark.slow
def test_a_teacher_trained_here_belongs_to_its_tokenizer(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    texts = [" ".join(f"w{number}" for number in random.integers(0, 12, random.integers(2, 6))) for _ in range(400)]
    pairs = pa.table({"id": [f"{row:032x}" for row in range(400)], "source": texts, "reference": texts})
    shards = {"train-00000": pairs.slice(0, 300), "train-00001": pairs.slice(300, 80), "valid-00000": pairs.slice(380)}
    inputs = {"corpus": artifact_of_tables(tmp_path, "corpus", shards), "tokenizer": words_tokenizer(tmp_path)}
    folder, info = make(
        tmp_path,
        inputs,
        kind="train",
        model={"encoder_layers": 1, "decoder_layers": 1, "width": 16, "heads": 2, "feed_forward": 32},
        optimiser={"steps": 12, "batch_tokens": 256, "warmup_steps": 4, "report_every": 4, "validate_every": 0},
    )
    assert info.kind == "train"
    assert set(read_vocabulary(folder, "target")[4:]) == {f"w{number}" for number in range(12)}
    assert (folder / "training.jsonl").is_file()
    assert (folder / "tokenizer.json").is_file()
    artifacts = {"teacher": new_artifact(tmp_path, "teacher"), "tokenizer": inputs["tokenizer"]}
    config = decode.Config(max_decoding_length=8, max_batch_tokens=512)
    result = decode.run(pairs.slice(0, 3), config, decode.load(config, artifacts, Runtime()))
    assert result.num_rows == 3


def test_faults_are_told_before_anything_runs(tiny_teacher: Path, tmp_path: Path) -> None:
    def faults(**options: object) -> list[str]:
        return teacher.faults(teacher.Config.model_validate(options))

    (tmp_path / "empty").mkdir()
    assert faults(kind="ctranslate2", path=str(tiny_teacher)) == []
    assert faults(kind="train") == []
    found = faults(kind="ctranslate2", path=str(tmp_path / "empty"))
    assert found[0].startswith(f"teacher.path: {tmp_path / 'empty'} holds no model.bin but nothing")
    assert faults(kind="opennmt", path="gone.pt") == ["teacher.path: no such file: gone.pt"]
    assert faults(kind="transformers", path="Helsinki-NLP/opus-mt-en-de") == []
    assert faults(kind="transformers", path="./gone/folder") == [
        "teacher.path: no such folder, and no name on the hub: gone/folder"
    ]
    assert "no config.json" in faults(kind="transformers", path=str(tmp_path / "empty"))[0]
    assert "decoder.yml" in faults(kind="marian", path=str(tmp_path / "empty"))[0]
    (tmp_path / "model.npz").touch()
    assert "set teacher.vocabularies" in faults(kind="marian", path=str(tmp_path / "model.npz"))[0]
    named = faults(kind="marian", path=str(tmp_path / "model.npz"), vocabularies=["a.yml"])
    assert named == ["teacher.vocabularies: no such file: a.yml"]
    found = faults(kind="fairseq", path="gone.pt", dictionaries="gone")
    assert "needs the library fairseq" in found[0]
    assert found[1:] == ["teacher.path: no such file: gone.pt", "teacher.dictionaries: no such folder: gone"]


def test_a_folder_that_is_no_model_is_told_in_the_run_too(tmp_path: Path) -> None:
    (tmp_path / "given").mkdir()
    (tmp_path / "given" / "model.bin").write_bytes(b"not at all")
    with pytest.raises(ModelError, match=r"model\.bin is of version"):
        make(tmp_path, kind="ctranslate2", path=str(tmp_path / "given"))


@pytest.mark.parametrize(
    ("kind", "broken"), [("transformers", {"config.json": "{}"}), ("marian", {"decoder.yml": "models: [gone.npz]\n"})]
)
def test_a_model_that_cannot_be_converted_is_named(tmp_path: Path, kind: str, broken: dict[str, str]) -> None:
    (tmp_path / "given").mkdir()
    for name, content in broken.items():
        (tmp_path / "given" / name).write_text(content)
    with pytest.raises(ModelError, match="given"):
        make(tmp_path, kind=kind, path=str(tmp_path / "given"))


def test_options_of_another_kind_are_faults() -> None:
    with pytest.raises(ValidationError, match="revision: not used with kind = 'marian'"):
        teacher.Config(kind="marian", path="x", revision="main")
    with pytest.raises(ValidationError, match="path: required with kind = 'opennmt'"):
        teacher.Config(kind="opennmt")
    with pytest.raises(ValidationError, match="path: not used with kind = 'train'"):
        teacher.Config(path="x")
    with pytest.raises(ValidationError, match="dictionaries: required"):
        teacher.Config(kind="fairseq", path="x")


def test_files_outside_the_runs_belong_to_the_fingerprint(tiny_teacher: Path) -> None:
    config = teacher.Config(kind="ctranslate2", path=str(tiny_teacher))
    assert teacher.external_files(config) == [tiny_teacher]
    assert teacher.external_files(teacher.Config(kind="transformers", path="some/model")) == []


def test_the_types_that_are_converted_are_those_that_the_converter_has() -> None:
    import transformers
    from ctranslate2.converters.transformers import _MODEL_LOADERS

    from stages.teacher.hub_folder import HUB_TYPES

    known = {getattr(getattr(transformers, name, None), "model_type", None) for name in _MODEL_LOADERS}
    readers = {"whisper", "wav2vec2", "wav2vec2-bert", "distilbert", "bert", "xlm-roberta", "roberta", "camembert"}
    of_remote_code = {"mpt", "RefinedWebModel"}
    assert known - {None} - readers == HUB_TYPES - of_remote_code


def test_a_type_that_is_not_converted_is_told_before_anything_runs(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "mamba"}')
    config = teacher.Config(kind="transformers", path=str(tmp_path))
    (fault,) = teacher.faults(config)
    assert "of the type 'mamba', which CTranslate2 does not convert" in fault
