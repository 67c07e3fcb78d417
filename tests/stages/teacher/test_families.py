"""Every family of docs/teachers.md against transformers: the same n-best lists, and the same soft targets."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from data.model_folder import read_vocabulary
from tests.fixtures.hub_families import (
    write_bart,
    write_causal,
    write_gemma3,
    write_mbart,
    write_nllb,
    write_pegasus,
    write_t5,
    write_tc_big,
    write_umt5,
)
from tests.fixtures.hub_models import write_m2m100, write_marian_mt
from tests.fixtures.hub_teachers import CHAT, LONGEST, TEXTS, forced, make, searched

pytestmark = pytest.mark.slow

BEAM = 4
Nbest = list[tuple[list[str], float]]


# How a family is made, how a recipe asks for it, and its language for transformers: source, target, first token.
TRANSLATORS: dict[str, tuple[Callable[[Path], Path], dict[str, Any], tuple[str, str]]] = {
    "Marian": (write_marian_mt, {}, ("", "")),
    "OPUS-MT of several targets": (
        lambda folder: write_marian_mt(folder, tags=(">>deu<<", ">>fra<<", ">>spa<<")),
        {"source_prefix": [">>fra<<"]},
        ("", ""),
    ),
    "OPUS-MT tc-big": (write_tc_big, {"source_prefix": [">>fra<<"]}, ("", "")),
    "T5": (write_t5, {}, ("", "")),
    "T5 v1.1": (lambda folder: write_t5(folder, tied=False), {}, ("", "")),
    "mT5": (lambda folder: write_t5(folder, tied=False, multilingual=True), {}, ("", "")),
    "MADLAD-400": (lambda folder: write_t5(folder, tied=False, tags=True), {"source_prefix": ["<2de>"]}, ("", "")),
    "UMT5": (write_umt5, {"source_prefix": ["<2de>"]}, ("", "")),
    "BART": (write_bart, {}, ("", "")),
    "Pegasus": (write_pegasus, {}, ("", "")),
    "M2M-100": (write_m2m100, {"source_prefix": ["__en__"], "target_prefix": ["__de__"]}, ("en", "__de__")),
    "NLLB": (write_nllb, {"source_prefix": ["eng_Latn"], "target_prefix": ["deu_Latn"]}, ("eng_Latn", "deu_Latn")),
    "NLLB, tags in older order": (
        write_nllb,
        {"source_prefix": [], "source_suffix": ["</s>", "eng_Latn"], "target_prefix": ["deu_Latn"]},
        ("eng_Latn", "deu_Latn"),
    ),
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
_TAGS = {
    "MADLAD-400": ["<2de>"],
    "UMT5": ["<2de>"],
    "OPUS-MT of several targets": [">>fra<<"],
    "OPUS-MT tc-big": [">>fra<<"],
}
_BASE = {"rope_theta": 1e6, "rope_type": "default"}
_LLAMA_31 = {
    "rope_theta": 5e5,
    "rope_type": "llama3",
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 8192,
}
_GEMMA_3 = {
    "rope_parameters": {"full_attention": _BASE, "sliding_attention": {**_BASE, "rope_theta": 1e4}},
    "layer_types": ["sliding_attention", "full_attention"],
    "sliding_window": 512,
    "max_position_embeddings": 2048,
    "query_pre_attn_scalar": 8,
}
# Models with the numbers that published ones have where those matter: bases of positions, tied outputs, windows.
LANGUAGE_MODELS: dict[str, tuple[str, dict[str, Any]]] = {
    "Llama 2": ("Llama", {}),
    "Llama 3": ("Llama", {"rope_parameters": {**_BASE, "rope_theta": 5e5}}),
    "Llama 3.1": ("Llama", {"rope_parameters": _LLAMA_31, "max_position_embeddings": 131072}),
    "Llama 3.2": ("Llama", {"rope_parameters": {**_LLAMA_31, "factor": 32.0}, "tie_word_embeddings": True}),
    "Mistral": ("Mistral", {"rope_parameters": _BASE, "sliding_window": 64}),
    "Qwen 2": ("Qwen2", {"rope_parameters": _BASE}),
    "Qwen 2.5, tied": ("Qwen2", {"rope_parameters": _BASE, "tie_word_embeddings": True}),
    "Qwen 3": ("Qwen3", {"rope_parameters": _BASE}),
    "Gemma": ("Gemma", {"rope_parameters": {**_BASE, "rope_theta": 5e4}}),
    "Gemma 3": ("Gemma3Text", _GEMMA_3),
    "Gemma 3 that sees": ("Gemma3", _GEMMA_3),
    "Phi 3": ("Phi3", {}),
    "GPT-2": ("GPT2", {}),
    "GPT-J": ("GPTJ", {}),
    "GPT-NeoX": ("GPTNeoX", {}),
    "CodeGen": ("CodeGen", {}),
    "StarCoder": ("GPTBigCode", {}),
    "OPT": ("OPT", {}),
    "BLOOM": ("Bloom", {}),
    "Falcon": ("Falcon", {}),
}


# Of other names, by the type that they have: nothing in the code tells them apart.
_SAME = {
    "OPUS-MT (Marian) of two languages": "Marian",
    "`opus-mt-tc-big-*`": "OPUS-MT tc-big",
    "NLLB-200": "NLLB",
    "Aya 101": "mT5",
    **dict.fromkeys(("ALMA", "Tower", "EuroLLM", "TinyLlama"), "Llama 2"),
    "3": "Llama 3",
    "3.1": "Llama 3.1",
    "3.2": "Llama 3.2",
    "2.5": "Qwen 2.5, tied",
    "and what else is of the type `llama`": "Llama 2",
    "Tower and ALMA of its type": "Mistral",
    "StarCoder (`gpt_bigcode`)": "StarCoder",
    "Falcon 7B": "Falcon",
}


def test_every_family_that_the_docs_call_exact_is_one_of_these() -> None:
    page = (Path(__file__).parents[3] / "docs" / "teachers.md").read_text(encoding="utf-8")
    rows = [line.strip("| ").split(" | ") for line in page.splitlines() if line.startswith("| ")]
    named = [name for cells in rows if cells[1:2] == ["exact"] for name in cells[0].split(", ")]
    known = {*TRANSLATORS, *LANGUAGE_MODELS}
    assert len(named) > 30
    assert [name for name in named if _SAME.get(name, name) not in known] == []


@pytest.mark.parametrize("family", TRANSLATORS)
def test_a_model_that_translates(family: str, tmp_path: Path) -> None:
    import torch
    from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

    write, asked, (source_language, first) = TRANSLATORS[family]
    folder = write(tmp_path / "hub")
    inputs = make(tmp_path, folder, **asked)
    own = AutoTokenizer.from_pretrained(folder, **({"src_lang": source_language} if source_language else {}))
    model = AutoModelForSeq2SeqLM.from_pretrained(folder, dtype=torch.float32).eval()
    vocabulary = read_vocabulary(inputs["teacher"].path(), "target")
    tag = own.convert_tokens_to_ids(_TAGS.get(family, []))
    assert own.unk_token_id not in tag
    begin = own.convert_tokens_to_ids([first]) if first else []
    start = model.config.decoder_start_token_id if family != "mBART-25" else begin.pop()
    found = searched(inputs, BEAM)
    soft = forced(inputs, [row[0][0] for row in found])
    for text, nbest, row in zip(TEXTS, found, soft, strict=True):
        asked_for = own(text).input_ids
        if "older" in family:
            asked_for = own(text, add_special_tokens=False).input_ids + own.convert_tokens_to_ids(["</s>", "eng_Latn"])
        read = torch.tensor([[*tag, *asked_for]])
        # CTranslate2 never says Marian's padding, as its makers' option for it has it, and an end at once only after
        # a tag.
        never = {"bad_words_ids": [[own.pad_token_id]]} if len(own) > len(vocabulary) and "NLLB" not in family else {}
        never |= {} if begin else {"min_new_tokens": 1}
        given = {"decoder_input_ids": torch.tensor([[start, *begin]]), "decoder_start_token_id": start, **never}
        check_nbest(nbest, of_transformers(model, own, vocabulary, read, LONGEST - len(begin), **given))
        ids = [vocabulary.index(token) for token in nbest[0][0]]
        with torch.no_grad():
            logits = model(input_ids=read, decoder_input_ids=torch.tensor([[start, *begin, *ids]])).logits
        check_soft_targets(row, logits[0, -len(ids) - 1 :, : len(vocabulary)], ids)


@pytest.mark.parametrize("family", LANGUAGE_MODELS)
def test_a_language_model(family: str, tmp_path: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    kind, options = LANGUAGE_MODELS[family]
    write = write_gemma3 if kind == "Gemma3" else partial(write_causal, family=kind)
    folder = write(tmp_path / "hub", **options)
    inputs = make(tmp_path, folder, prompt=CHAT)
    own = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    vocabulary = read_vocabulary(inputs["teacher"].path(), "target")
    found = searched(inputs, BEAM)
    soft = forced(inputs, [row[0][0] for row in found])
    for text, nbest, row in zip(TEXTS, found, soft, strict=True):
        prompt = own(CHAT["template"].replace("{source}", text)).input_ids
        assert own.convert_tokens_to_ids("<|im_start|>") in prompt
        read = torch.tensor([prompt])
        check_nbest(nbest, of_transformers(model, own, vocabulary, read, LONGEST, min_new_tokens=1))
        ids = own.convert_tokens_to_ids(nbest[0][0])
        with torch.no_grad():
            logits = model(torch.tensor([[*prompt, *ids]])).logits[0, -len(ids) - 1 :]
        check_soft_targets(row, logits[:, : len(vocabulary)], ids)


def of_transformers(model: Any, own: Any, vocabulary: list[str], read: Any, longest: int, **options: Any) -> Nbest:
    """Beam search as CTranslate2's is: it ends with as many hypotheses as the beam has, which never change places.

    Scores are divided by a hypothesis's own length, what every target begins with not counted.
    """
    import torch

    begin = options["decoder_input_ids"].shape[1] if "decoder_input_ids" in options else read.shape[1]
    ends = {"eos_token_id": own.eos_token_id, "pad_token_id": own.pad_token_id}
    never = {"forced_eos_token_id": None, "forced_bos_token_id": None, "no_repeat_ngram_size": None}
    with torch.no_grad():
        made = model.generate(
            inputs=read,
            num_beams=BEAM,
            num_return_sequences=BEAM,
            early_stopping=True,
            length_penalty=1.0,
            renormalize_logits=True,
            max_new_tokens=longest,
            do_sample=False,
            return_dict_in_generate=True,
            output_scores=True,
            **{**ends, **never, **options},
        )
    rows = [row[begin:] for row in made.sequences.tolist()]
    cut = [row[: row.index(own.eos_token_id)] if own.eos_token_id in row else row for row in rows]
    tokens = [[vocabulary[number] for number in row] for row in cut]
    return list(zip(tokens, made.sequences_scores.tolist(), strict=True))


def check_nbest(found: Nbest, expected: Nbest) -> None:
    """The same hypotheses in the same order, but for those whose scores are as good as one."""
    scores = np.array([score for _, score in expected])
    np.testing.assert_allclose([score for _, score in found], scores, atol=1e-4)
    if np.all(np.diff(scores) < -1e-5):
        assert [tokens for tokens, _ in found] == [tokens for tokens, _ in expected]
    else:
        assert sorted(tokens for tokens, _ in found[:-1]) == sorted(tokens for tokens, _ in expected[:-1])


def check_soft_targets(row: Any, logits: Any, ids: list[int]) -> None:
    """Log-probabilities of the K best, and of what was forced, at every position but the end's."""
    import torch

    expected: npt.NDArray[np.float64] = torch.log_softmax(logits.double(), dim=-1).numpy()
    near = {"atol": 2e-4, "rtol": 2.0**-11}  # they are kept in float16
    np.testing.assert_allclose(row.topk_log_probs, -np.sort(-expected, axis=1)[:, :4], **near)
    np.testing.assert_allclose(row.token_log_probs[: len(ids)], expected[range(len(ids)), ids], **near)
