"""`potstill new`: teachers, each as its own toolkit keeps it, and that the keys make the stage teacher take them."""

import json
from pathlib import Path

import pytest

from data.errors import ConfigError
from data.language_tags import Direction
from data.model_folder import load_teacher_info
from data.runtime import Runtime
from pipeline.starting.languages import language_name, nllb_name, tags_of
from pipeline.starting.teachers import Found, find_teacher
from stages.teacher import stage
from stages.teacher.hub import convert_transformers
from tests.fixtures import hub_models
from tests.fixtures.artifacts import new_artifact
from tests.fixtures.tiny_teacher import write_tiny_checkpoint, write_tiny_teacher

ROOT = Path(__file__).parents[3]
TEACHER = ROOT / "recipes" / "teachers" / "en-de"
BOTH = ("en", "de")


def taken(folder: Path, found: Found) -> Path:
    """The folder that the stage makes of these keys, as a recipe has them."""
    assert found.open == []
    output = new_artifact(folder, "teacher")
    stage.run({}, stage.Config.model_validate(found.keys), output, Runtime())
    return output.work_path()


def test_what_other_toolkits_left_is_taken_as_it_is(tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    marian = hub_models.write_marian(tmp_path / "marian")
    made = {
        "ctranslate2": TEACHER,
        "transformers": hub_models.write_marian_mt(tmp_path / "hub"),
        "marian": marian,
    }
    for kind, path in {**made, "marian ": marian / "model.npz"}.items():
        found = find_teacher(str(path), BOTH)
        assert (found.keys["kind"], found.tokenizer) == (kind.strip(), {"kind": "teacher"})
        assert (taken(tmp_path / f"store-{kind}", found) / "model.bin").is_file()


@pytest.mark.parametrize("converted", [False, True], ids=["transformers", "ctranslate2"])
def test_a_model_of_many_languages_is_asked_by_its_tags(tmp_path: Path, converted: bool) -> None:
    pytest.importorskip("transformers")
    path = hub_models.write_m2m100(tmp_path / "hub")
    if converted:
        (tmp_path / "converted").mkdir()
        convert_transformers(str(path), None, tmp_path / "converted", "float32")
        path = tmp_path / "converted"
    info = load_teacher_info(taken(tmp_path, find_teacher(str(path), BOTH))).toward(Direction("en", "de"))
    assert (info.source_prefix, info.target_prefix) == (("__en__",), ("__de__",))


@pytest.mark.parametrize("converted", [False, True], ids=["transformers", "ctranslate2"])
def test_a_language_model_needs_its_prompt(tmp_path: Path, converted: bool) -> None:
    pytest.importorskip("transformers")
    path = hub_models.write_llama(tmp_path / "hub")
    if converted:
        (tmp_path / "converted").mkdir()
        convert_transformers(str(path), None, tmp_path / "converted", "float32")
        path = tmp_path / "converted"
    found = find_teacher(str(path), ("en", "zh-Hans"))
    assert found.prompt == {
        "source_language": "English",
        "target_language": "Chinese (Simplified)",
        "end_token": "",
    }
    assert found.open[0].startswith("prompt: ")
    found.open.clear()
    found.keys["prompt"] = found.prompt
    assert load_teacher_info(taken(tmp_path, found)).prompt is not None


def test_checkpoints_are_told_by_what_is_in_them(tmp_path: Path) -> None:
    import torch

    path = write_tiny_checkpoint(tmp_path / "model.pt")
    found = find_teacher(str(path), BOTH)
    assert (found.keys, found.tokenizer["kind"]) == ({"kind": "opennmt", "path": str(path)}, "file")
    assert found.open[0].startswith("tokenizer.source_model: no SentencePiece model")
    hub_models.write_sentencepiece(tmp_path / "source.spm")
    found = find_teacher(str(path), BOTH)
    assert (found.open, found.tokenizer["source_model"]) == ([], str(tmp_path / "source.spm"))
    torch.save({"extra_state": {}, "model": {}}, tmp_path / "fair.pt")
    (tmp_path / "dict.en.txt").touch()
    found = find_teacher(str(tmp_path / "fair.pt"), BOTH)
    assert (found.keys["kind"], found.keys["dictionaries"]) == ("fairseq", str(tmp_path))
    assert found.open == [f"dictionaries: {tmp_path} has no dict.de.txt; name the folder that has both"]
    torch.save({"weights": {}}, tmp_path / "other.pt")
    (tmp_path / "dict.en.txt").unlink()
    with pytest.raises(ConfigError, match="neither OpenNMT-py nor fairseq"):
        find_teacher(str(tmp_path / "other.pt"), BOTH)


def test_a_folder_without_subwords_says_so(tmp_path: Path) -> None:
    found = find_teacher(str(write_tiny_teacher(tmp_path / "tiny")), BOTH)
    assert found.tokenizer == {"kind": "file", "source_model": ""}
    assert found.open[0].startswith("tokenizer.source_model: ")


@pytest.mark.parametrize("name", ["./none", "/none", "two words", "{tmp}/none"])
def test_what_is_neither_path_nor_name_is_an_error(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match="no such file or folder"):
        find_teacher(name.format(tmp=tmp_path), BOTH)
    (tmp_path / "empty").mkdir()
    (tmp_path / "adapter").mkdir()
    (tmp_path / "adapter" / "adapter_config.json").write_text("{}")
    with pytest.raises(
        ConfigError, match=r"holds adapter_config\.json: no model .*; it is an adapter .*merge_and_unload"
    ):
        find_teacher(str(tmp_path / "adapter"), BOTH)
    with pytest.raises(ConfigError, match="holds nothing"):
        find_teacher(str(tmp_path / "empty"), BOTH)


def test_a_name_on_the_hub_tells_languages() -> None:
    assert find_teacher("Helsinki-NLP/opus-mt-en-de", BOTH).open == []
    assert "the model's language is fr, and --to says de" in find_teacher("Helsinki-NLP/opus-mt-en-fr", BOTH).open[0]
    assert "several languages" in find_teacher("Helsinki-NLP/opus-mt-en-ROMANCE", ("en", "fr")).open[0]


def test_names_of_languages_are_those_that_the_models_have() -> None:
    published = pytest.importorskip("transformers.models.nllb.tokenization_nllb").FAIRSEQ_LANGUAGE_CODES
    right = {
        "en": "eng_Latn", "zh": "zho_Hans",
        "zh-TW": "zho_Hant", "ja": "jpn_Jpan", "pt-BR": "por_Latn", "ar": "arb_Arab",
        "lv": "lvs_Latn", "ms": "zsm_Latn", "fa": "pes_Arab", "no": "nob_Latn", "nb": "nob_Latn", "sw": "swh_Latn",
        "sq": "als_Latn", "ps": "pbt_Arab", "qu": "quy_Latn", "yi": "ydd_Hebr", "az": "azj_Latn", "uz": "uzn_Latn",
        "mn": "khk_Cyrl", "ne": "npi_Deva", "mg": "plt_Latn", "ku": "kmr_Latn", "or": "ory_Orya", "om": "gaz_Latn",
        "ay": "ayr_Latn", "tl": "tgl_Latn", "fil": "tgl_Latn",
    }  # fmt: skip
    assert {tag: nllb_name(tag) for tag in right} == right
    assert set(right.values()) <= set(published)
    nllb = tags_of("facebook/nllb-200", None, ("en", "sr-Latn"))
    assert nllb.keys["language_names"] == {"en": "eng_Latn"}
    assert nllb.open[0].startswith("language_names: what the model calls sr-Latn")
    mbart = tags_of("facebook/mbart-large-50", None, BOTH)
    assert (mbart.keys["language_names"], mbart.open) == ({"en": "en_XX", "de": "de_DE"}, [])


def test_without_transformers_names_are_marked_as_unsure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.starting.languages.find_spec", lambda name: None)
    found = tags_of("facebook/nllb-200", None, BOTH)
    assert found.keys["language_names"] == {"en": "eng_Latn", "de": "deu_Latn"}
    assert "compare them" in found.open[0]


def test_the_tags_of_a_model_that_is_here_are_the_ones_that_count(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "m2m_100"}))
    tags = ["eng_Latn", "deu_Latn", "fra_Latn"]
    (tmp_path / "special_tokens_map.json").write_text(json.dumps({"additional_special_tokens": tags}))
    found = find_teacher(str(tmp_path), BOTH)
    assert (found.keys["language_names"], found.keys["source_prefix"]) == (
        {"en": "eng_Latn", "de": "deu_Latn"},
        ["{source}"],
    )
    assert (
        find_teacher(str(tmp_path), ("en", "fi"))
        .open[0]
        .startswith("language_names: what the model calls fi: one deu_")
    )


def test_prompts_name_languages_in_english() -> None:
    assert [language_name(tag) for tag in ("de", "pt-BR", "tlh-x-no")] == ["German", "Portuguese (Brazil)", "tlh-x-no"]


def test_a_file_of_translations_stands_in_a_teachers_place(tmp_path: Path) -> None:
    for name in ("t.jsonl", "t.jsonl.zst", "t.tsv.gz", "t.parquet"):
        (tmp_path / name).touch()
        found = find_teacher(str(tmp_path / name), BOTH)
        assert (found.keys, found.tokenizer) == ({"kind": "given", "path": str(tmp_path / name)}, {"kind": "train"})
        assert found.open == []
