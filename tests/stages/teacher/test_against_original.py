"""Families of transformers against transformers itself: searched and forced alike, or refused."""

import contextlib
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from data import schema
from data.errors import ModelError
from data.model_folder import Prompt, load_teacher_info, read_vocabulary
from data.runtime import Runtime
from stages.decode import stage as decode
from stages.loaded_model.model import positions_of
from stages.loaded_model.prompt import encode_sources
from stages.score import stage as score
from stages.text.tokenizer import load_tokenizer
from tests.fixtures.hub_families import write_causal, write_mbart, write_nllb, write_separate_marian, write_t5
from tests.fixtures.hub_models import write_llama
from tests.fixtures.hub_teachers import CHAT, LONGEST, make, table

pytestmark = pytest.mark.slow


_LINEAR = {"rope_theta": 1e6, "rope_type": "linear", "factor": 8.0}
_ROPES = {name: {"rope_theta": 1e6, "rope_type": "default"} for name in ("full_attention", "sliding_attention")}
_GEMMA_3 = {
    "sliding_window": 512,
    "layer_types": ["sliding_attention", "full_attention"],
    "max_position_embeddings": 2048,
    "query_pre_attn_scalar": 8,
}
_DYNAMIC = {"rope_theta": 1e4, "rope_type": "dynamic", "factor": 4.0}
_YARN = {"rope_theta": 1e4, "rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32}
_PHI_3 = {
    "rope_parameters": {
        "rope_theta": 1e4,
        "rope_type": "longrope",
        "short_factor": [1.0, 1.1, 1.2, 1.5],
        "long_factor": [1.0, 2.0, 4.0, 8.0],
    },
    "max_position_embeddings": 4096,
    "original_max_position_embeddings": 1024,
}


@pytest.mark.parametrize(
    ("family", "options", "told"),
    [
        ("Llama", {"rope_parameters": _DYNAMIC}, "RoPE scaling type 'dynamic' is not yet implemented"),
        ("Qwen2", {"rope_parameters": _YARN}, "RoPE scaling type 'yarn' is not yet implemented"),
        ("Llama", {"head_dim": 16}, "CTranslate2 cannot run what it made of this model"),
        ("GPTBigCode", {"multi_query": False}, "CTranslate2 cannot run what it made of this model"),
        ("Falcon", {"new_decoder_architecture": True, "num_kv_heads": 1}, "is a variant that is not known"),
    ],
)
def test_what_ctranslate2_does_not_know_is_said_in_words(
    family: str, options: dict[str, Any], told: str, tmp_path: Path
) -> None:
    with pytest.raises(ModelError, match=told):
        make(tmp_path, write_causal(tmp_path / "hub", family, **options), prompt=CHAT)


def test_vocabularies_of_both_sides_that_ctranslate2_takes_for_one_are_told(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="Target vocabulary 0 has size 89 but the model expected"):
        make(tmp_path, write_separate_marian(tmp_path / "hub"))


def test_code_that_a_model_brings_is_neither_run_nor_asked_about(tmp_path: Path) -> None:
    folder = write_causal(tmp_path / "hub", "GPT2")
    (folder / "evil.py").write_text(f"open({str(tmp_path / 'sprung')!r}, 'w')\n")
    told = json.loads((folder / "tokenizer_config.json").read_bytes())
    evil = {"tokenizer_class": "Evil", "auto_map": {"AutoTokenizer": ["evil.Evil", None]}}
    (folder / "tokenizer_config.json").write_text(json.dumps({**told, **evil}))
    model = json.loads((folder / "config.json").read_bytes())
    (folder / "config.json").write_text(json.dumps({**model, "auto_map": {"AutoModelForCausalLM": "evil.Evil"}}))
    with contextlib.suppress(ModelError):
        make(tmp_path, folder, prompt=CHAT)
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize(
    ("family", "options"),
    [
        ("Gemma2", {"query_pre_attn_scalar": 8}),
        ("Gemma3Text", {**_GEMMA_3, "query_pre_attn_scalar": 16}),
        ("Gemma3Text", {**_GEMMA_3, "rope_parameters": {**_ROPES, "full_attention": {**_LINEAR}}}),
        ("Llama", {"hidden_act": "gelu"}),
        ("GPT2", {"scale_attn_by_inverse_layer_idx": True}),
        ("Falcon", {"alibi": True}),
        ("Phi3", _PHI_3),
        ("Qwen2", {"use_sliding_window": True, "max_window_layers": 0, "sliding_window": 30}),
        ("Gemma3Text", {"sliding_window": 64, "layer_types": ["sliding_attention", "full_attention"]}),
    ],
)
def test_what_ctranslate2_computes_otherwise_is_refused(family: str, options: dict[str, Any], tmp_path: Path) -> None:
    folder = write_causal(tmp_path / "hub", family, **options)
    with pytest.raises(
        ModelError, match=r"computes something else than its original: .* differ by up to \d+\.\d\d nats"
    ):
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
