"""Families of transformers against transformers itself: searched and forced alike, or refused."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from data import schema
from data.artifact import Artifact
from data.errors import ModelError
from data.model_folder import Prompt, load_teacher_info, read_vocabulary
from data.runtime import Runtime
from data.soft_targets import unpack
from stages.decode import stage as decode
from stages.loaded_model.model import positions_of
from stages.loaded_model.prompt import encode_sources
from stages.score import stage as score
from stages.teacher import stage as teacher
from stages.teacher.comparison import TOLERANCE
from stages.text.tokenizer import load_tokenizer
from stages.tokenizer import stage as tokenizer
from tests.fixtures.artifacts import closed, new_artifact
from tests.fixtures.hub_families import write_bart, write_causal, write_mbart, write_nllb, write_t5
from tests.fixtures.hub_models import write_llama, write_m2m100, write_marian_mt

pytestmark = pytest.mark.slow

TEXTS = ["the quick fox", "lazy dogs jumps 7", "Hello World"]
CHAT = {"template": "<|im_start|>user\nTranslate: {source}<|im_end|>\n"}
LONGEST = 10


def make(store: Path, source: Path, **options: Any) -> dict[str, Artifact]:
    output = new_artifact(store, "teacher")
    given = {"kind": "transformers", "path": str(source), "quantization": "float32", **options}
    metrics = teacher.run({}, teacher.Config.model_validate(given), output, Runtime())
    assert metrics["nats_from_original"] < TOLERANCE / 2
    made = closed(output)
    subwords = new_artifact(store, "tokenizer")
    tokenizer.run({"teacher": made}, tokenizer.Config(kind="teacher"), subwords, Runtime())
    return {"teacher": made, "tokenizer": closed(subwords)}


def table() -> pa.Table:
    return pa.table({"id": [f"{number:032x}" for number in range(len(TEXTS))], "source": TEXTS})


def decoded(inputs: dict[str, Artifact]) -> list[list[str]]:
    config = decode.Config(max_decoding_length=LONGEST, max_batch_tokens=256, beam_size=1, num_hypotheses=1)
    found = decode.run(table(), config, decode.load(config, inputs, Runtime()))
    return [row[0]["tokens"] for row in found.column("hypotheses").to_pylist()]


def forced(inputs: dict[str, Artifact], targets: list[list[str]]) -> list[Any]:
    data = table().append_column("target_tokens", pa.array(targets, pa.list_(pa.string())))
    data = data.append_column("metric", pa.array(["score"] * len(TEXTS)))
    config = score.Config(k=4)
    return list(unpack(score.run(data, config, score.load(config, inputs, Runtime()))))


# How a family is made, how a recipe asks for it, and its language for transformers: source, target, first token.
FAMILIES: dict[str, tuple[Callable[[Path], Path], dict[str, Any], tuple[str, str]]] = {
    "Marian": (write_marian_mt, {}, ("", "")),
    "OPUS-MT of several targets": (
        lambda folder: write_marian_mt(folder, tags=(">>deu<<", ">>fra<<", ">>spa<<")),
        {"source_prefix": [">>fra<<"]},
        ("", ""),
    ),
    "T5": (write_t5, {}, ("", "")),
    "T5 v1.1": (lambda folder: write_t5(folder, tied=False), {}, ("", "")),
    "mT5": (lambda folder: write_t5(folder, tied=False, multilingual=True), {}, ("", "")),
    "MADLAD-400": (lambda folder: write_t5(folder, tied=False, tags=True), {"source_prefix": ["<2de>"]}, ("", "")),
    "BART": (write_bart, {"source_prefix": ["<s>"]}, ("", "")),
    "M2M-100": (write_m2m100, {"source_prefix": ["__en__"], "target_prefix": ["__de__"]}, ("en", "__de__")),
    "NLLB": (write_nllb, {"source_prefix": ["eng_Latn"], "target_prefix": ["deu_Latn"]}, ("eng_Latn", "deu_Latn")),
    "mBART-25": (
        lambda folder: write_mbart(folder, fifty=False),
        {"source_suffix": ["</s>", "en_XX"], "target_prefix": ["de_DE"]},
        ("en_XX", "de_DE"),
    ),
    "mBART-50": (
        lambda folder: write_mbart(folder, fifty=True),
        {"source_prefix": ["en_XX"], "target_prefix": ["de_DE"]},
        ("en_XX", "de_DE"),
    ),
}


@pytest.mark.parametrize("family", FAMILIES)
def test_an_encoder_decoder_model_is_searched_and_forced_as_transformers_does(family: str, tmp_path: Path) -> None:
    import torch
    from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

    write, asked, (source_language, first) = FAMILIES[family]
    folder = write(tmp_path / "hub")
    inputs = make(tmp_path, folder, **asked)
    own = AutoTokenizer.from_pretrained(folder, **({"src_lang": source_language} if source_language else {}))
    model = AutoModelForSeq2SeqLM.from_pretrained(folder, dtype=torch.float64).eval()
    vocabulary = read_vocabulary(inputs["teacher"].path(), "target")
    found = decoded(inputs)
    tags = {"MADLAD-400": ["<2de>"], "OPUS-MT of several targets": [">>fra<<"]}.get(family, [])
    tag = own.convert_tokens_to_ids(tags) if tags else []
    assert own.unk_token_id not in tag
    for text, tokens, row in zip(TEXTS, found, forced(inputs, found), strict=True):
        read = torch.tensor([[*tag, *own(text).input_ids]])
        begin = [] if family == "mBART-25" else [model.config.decoder_start_token_id]
        begin += own.convert_tokens_to_ids([first]) if first else []
        ids = [vocabulary.index(token) for token in tokens]
        with torch.no_grad():
            logits = model(input_ids=read, decoder_input_ids=torch.tensor([[*begin, *ids]])).logits
        rows = logits[0, -len(ids) - 1 :, : len(vocabulary)]
        expected = torch.log_softmax(rows, dim=-1).numpy()
        np.testing.assert_allclose(row.topk_log_probs, -np.sort(-expected, axis=1)[:, :4], rtol=1e-3, atol=5e-3)
        # Greedy search takes the most probable token at every step, but an end at the first one.
        best = expected.argmax(axis=1)
        assert [vocabulary[number] for number in best[1 : len(ids)]] == tokens[1:]
        if len(ids) < LONGEST - 2:
            assert vocabulary[best[len(ids)]] == own.eos_token


@pytest.mark.parametrize("family", ["Llama", "Qwen2", "Qwen3", "Mistral", "GPT2", "Gemma"])
def test_a_decoder_only_model_is_asked_in_its_own_tokens(family: str, tmp_path: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = write_causal(tmp_path / "hub", family)
    inputs = make(tmp_path, folder, prompt=CHAT)
    own, model = AutoTokenizer.from_pretrained(folder), AutoModelForCausalLM.from_pretrained(folder).double().eval()
    found = decoded(inputs)
    for text, tokens, row in zip(TEXTS, found, forced(inputs, found), strict=True):
        prompt = own(CHAT["template"].replace("{source}", text)).input_ids
        assert own.convert_tokens_to_ids("<|im_start|>") in prompt
        ids = own.convert_tokens_to_ids(tokens)
        with torch.no_grad():
            logits = model(torch.tensor([[*prompt, *ids]])).logits[0, -len(ids) - 1 :]
        expected = torch.log_softmax(logits, dim=-1).numpy()
        np.testing.assert_allclose(row.topk_log_probs, -np.sort(-expected, axis=1)[:, :4], rtol=1e-3, atol=5e-3)


@pytest.mark.parametrize(
    ("family", "options"),
    [
        ("Gemma2", {}),
        ("Gemma3Text", {"sliding_window": 64, "layer_types": ["sliding_attention", "full_attention"]}),
    ],
)
def test_what_ctranslate2_computes_otherwise_is_refused(family: str, options: dict[str, Any], tmp_path: Path) -> None:
    folder = write_causal(tmp_path / "hub", family, **options)
    with pytest.raises(
        ModelError, match=r"computes something else than its original: .* differ by up to \d\.\d\d nats"
    ):
        make(tmp_path, folder, prompt=CHAT)


def test_a_variant_that_the_converter_does_not_know_is_said_in_words(tmp_path: Path) -> None:
    folder = write_causal(tmp_path / "hub", "Phi3")
    with pytest.raises(ModelError, match="it is a variant that is not known to its converter, which looks for 'type'"):
        make(tmp_path, folder, prompt=CHAT)


def test_a_model_whose_weights_were_changed_on_the_way_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from stages.teacher import hub_converter

    monkeypatch.setattr(hub_converter, "_scale_outputs", lambda decoder, model: setattr(decoder, "scale_outputs", 0.25))
    with pytest.raises(ModelError, match="computes something else"):
        make(tmp_path, write_t5(tmp_path / "hub", tied=False))


def test_what_the_models_own_tokenizer_adds_must_be_there(tmp_path: Path) -> None:
    folder = write_nllb(tmp_path / "hub")
    with pytest.raises(ModelError, match=r"language's tag is missing|source_prefix"):
        make(tmp_path / "a", folder, target_prefix=["deu_Latn"], source_prefix=[])
    # The order of its older tokenizers.
    make(tmp_path / "b", folder, target_prefix=["deu_Latn"], source_prefix=[], source_suffix=["</s>", "eng_Latn"])
    folder = write_mbart(tmp_path / "mbart", fifty=False)
    with pytest.raises(ModelError, match=r"teacher\.source_suffix: .* tag is missing"):
        make(tmp_path / "c", folder, target_prefix=["de_DE"], source_prefix=["en_XX"])


def test_special_tokens_of_a_sentencepiece_model_are_single_in_a_prompt_and_text_in_a_source(tmp_path: Path) -> None:
    folder = write_llama(tmp_path / "hub")
    added = {"330": {"content": "<|im_start|>", "special": True}, "331": {"content": "[INST]", "special": True}}
    (folder / "tokenizer_config.json").write_text(
        json.dumps({"tokenizer_class": "LlamaTokenizer", "added_tokens_decoder": added})
    )
    _resized(folder, 332)
    inputs = make(tmp_path, folder, prompt={"template": "<|im_start|>{source} [INST]"})
    subwords = load_tokenizer(inputs["tokenizer"].path())
    prompt = Prompt(before="<|im_start|>", after=" [INST]")
    plain, stranger = encode_sources(["the dog", "[INST] <|im_start|> dog"], subwords, prompt)
    for tokens in (plain, stranger):
        assert (tokens[0], tokens[-1]) == ("<|im_start|>", "[INST]")
        assert not {"<|im_start|>", "[INST]", "<s>", "</s>"} & set(tokens[1:-1])


def _resized(folder: Path, size: int) -> None:
    from transformers import LlamaForCausalLM

    model = LlamaForCausalLM.from_pretrained(folder)
    model.resize_token_embeddings(size)
    model.save_pretrained(folder)


def test_languages_in_a_suffix_are_the_rows_own(tmp_path: Path) -> None:
    folder = write_mbart(tmp_path / "hub", fifty=False)
    names = {"en": "en_XX", "de": "de_DE", "fr": "fr_XX"}
    tagged = {"source_suffix": ["</s>", "{source}"], "target_prefix": ["{target}"], "language_names": names}
    inputs = make(tmp_path / "a", folder, **tagged)
    alone = make(tmp_path / "b", folder, source_suffix=["</s>", "en_XX"], target_prefix=["de_DE"])
    config = decode.Config(max_decoding_length=LONGEST, max_batch_tokens=256)
    rows = (
        table()
        .append_column("source_language", pa.array(["en"] * 3))
        .append_column("target_language", pa.array(["de"] * 3))
    )
    results = [decode.run(rows, config, decode.load(config, each, Runtime())) for each in (inputs, alone)]
    assert results[0].column("hypotheses") == results[1].column("hypotheses")
    assert inputs["teacher"].path() != alone["teacher"].path()


def test_ids_of_t5_are_those_of_its_tokenizer(tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    folder = write_t5(tmp_path / "hub")
    inputs = make(tmp_path, folder)
    own = AutoTokenizer.from_pretrained(folder)
    vocabulary = read_vocabulary(inputs["teacher"].path(), "target")
    assert len(vocabulary) == 228
    assert len(set(vocabulary)) == 228
    assert vocabulary[: len(own)] == own.convert_ids_to_tokens(list(range(len(own))))


def test_a_prefix_may_be_a_text(tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    folder = write_t5(tmp_path / "hub")
    inputs = make(tmp_path, folder, source_prefix=["over the quick brown"])
    info = load_teacher_info(inputs["teacher"].path())
    own = AutoTokenizer.from_pretrained(folder)
    together = own("over the quick brown the fox").input_ids
    subwords = load_tokenizer(inputs["tokenizer"].path())
    ours = [*info.source_prefix, *subwords.encode_source(["the fox"])[0], *info.source_suffix]
    vocabulary = read_vocabulary(inputs["teacher"].path(), "source")
    assert [vocabulary.index(token) if token in vocabulary else own.unk_token_id for token in ours] == together
    with pytest.raises(ModelError, match=r"a text is read in source_prefix, without \{source\} and \{target\}"):
        asked = {
            "source_prefix": ["translate {source} to {target}:"],
            "language_names": {"en": "English", "de": "German"},
        }
        make(tmp_path / "b", folder, **asked)


def test_rows_beyond_a_sliding_window_are_left_out(tmp_path: Path) -> None:
    folder = write_causal(tmp_path / "hub", "Mistral", sliding_window=40)
    inputs = make(tmp_path, folder, prompt={"template": "x {source}"})
    teacher_folder = inputs["teacher"].path()
    positions = positions_of(teacher_folder, load_teacher_info(teacher_folder))
    assert positions.hold(19, 19)
    assert not positions.hold(20, 20)
    texts = ["fox", " ".join(["fox"] * 60)]
    rows = pa.table({"id": ["0" * 32, "1" * 32], "source": texts})
    config = decode.Config(max_decoding_length=12, max_batch_tokens=256, beam_size=1, num_hypotheses=1)
    found = decode.run(rows, config, decode.load(config, inputs, Runtime())).column("hypotheses").to_pylist()
    assert [row[0]["score"] == schema.UNTRANSLATED_SCORE for row in found] == [False, True]
    targets = [found[0][0]["tokens"], ["x"] * 50]
    data = rows.append_column("target_tokens", pa.array(targets)).append_column("metric", pa.array(["score"] * 2))
    scored = score.run(data, score.Config(k=2), score.load(score.Config(k=2), inputs, Runtime()))
    assert scored.column("conditioning").to_pylist() == ["hypothesis", "none"]


def test_what_the_teacher_does_not_know_of_its_sources_is_counted(tmp_path: Path) -> None:
    folder = write_t5(tmp_path / "hub")
    inputs = make(tmp_path, folder)
    rows = pa.table({"id": ["0" * 32, "1" * 32], "source": ["the fox", "\u10e5\u10d0 fox \u1200"]})
    config = decode.Config(max_decoding_length=4, max_batch_tokens=256)
    counted = decode.count(decode.run(rows, config, decode.load(config, inputs, Runtime())))
    known, unknown = load_tokenizer(inputs["tokenizer"].path()), 0
    vocabulary = set(read_vocabulary(inputs["teacher"].path(), "source"))
    for tokens in known.encode_source(rows.column("source").to_pylist()):
        unknown += sum(token not in vocabulary for token in tokens)
    assert counted["unknown_tokens"] == unknown > 0
