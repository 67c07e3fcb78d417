"""Languages that a model must be told, by vocabularies as its family has them."""

import json
from pathlib import Path
from typing import Any

import pytest

from data.errors import ModelError
from data.model_folder import TeacherInfo
from stages.teacher.tags import check_tags

NLLB = ["</s>", "<unk>", "\u2581a", "eng_Latn", "deu_Latn", "fra_Latn"]
OPUS = ["</s>", "<unk>", "\u2581a", ">>deu<<", ">>fra<<", ">>spa<<"]
MADLAD = ["<unk>", "<s>", "</s>", "\u2581a", "<2de>", "<2fr>", "<2es>"]
NAMES = {"en": "eng_Latn", "de": "deu_Latn"}


def check(folder: Path, vocabularies: tuple[list[str], list[str]], start: str | None = "</s>", **asked: Any) -> None:
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps({"decoder_start_token": start}))
    for side, tokens in zip(("source", "target"), vocabularies, strict=True):
        (folder / f"{side}_vocabulary.json").write_text(json.dumps(tokens))
    info = TeacherInfo.model_validate(
        {
            "kind": "ctranslate2",
            "source_vocabulary_size": len(vocabularies[0]),
            "target_vocabulary_size": len(vocabularies[1]),
            "vocabulary_digest": "",
            "parameters": 1,
            "quantization": "int8",
            "digest": "",
            **asked,
        }
    )
    given = {name for name in ("source_prefix", "source_suffix") if name in asked}
    check_tags(folder, info, target_given="target_prefix" in asked, source_given=bool(given))


@pytest.mark.parametrize(("family", "tokens", "tag"), [("OPUS-MT", OPUS, ">>deu<<"), ("MADLAD-400", MADLAD, "<2de>")])
def test_a_target_language_before_the_source_is_asked_for(
    family: str, tokens: list[str], tag: str, tmp_path: Path
) -> None:
    with pytest.raises(ModelError, match=rf"tags as of {family}: {tag}.*set teacher\.source_prefix = \[\"{tag}\"\]"):
        check(tmp_path, (tokens, ["</s>", "<unk>", "\u2581b"]))
    check(tmp_path, (tokens, ["</s>", "<unk>", "\u2581b"]), source_prefix=[tag])
    with pytest.raises(ModelError, match=f"has no '<2xx>'; its language tags are {tag}"):
        check(tmp_path, (tokens, tokens[:3]), source_prefix=["<2xx>"])


def test_a_tag_may_stand_for_the_targets_that_there_are(tmp_path: Path) -> None:
    names = {"en": "eng", "de": "deu", "fr": "fra"}
    # English is no target of this model: what is asked for it is refused when it is asked.
    check(tmp_path, (OPUS, OPUS[:3]), source_prefix=[">>{target}<<"], language_names=names)
    with pytest.raises(ModelError, match=r"has no '>>eng<<', '>>ger<<'; its language tags are >>deu<<"):
        check(tmp_path, (OPUS, OPUS[:3]), source_prefix=[">>{target}<<"], language_names={"en": "eng", "de": "ger"})
    with pytest.raises(ModelError, match="has no '>>eng<<'"):
        check(tmp_path, (OPUS, OPUS[:3]), source_prefix=[">>{target}<<"], language_names=names, pairs=["de-en"])


def test_the_sources_language_is_asked_for_as_the_targets_is(tmp_path: Path) -> None:
    with pytest.raises(
        ModelError, match=r"teacher\.source_prefix: this teacher \(tags as of NLLB\) is told the source's"
    ):
        check(tmp_path, (NLLB, NLLB), target_prefix=["deu_Latn"])
    check(tmp_path, (NLLB, NLLB), target_prefix=["deu_Latn"], source_prefix=["eng_Latn"])
    check(tmp_path, (NLLB, NLLB), target_prefix=["deu_Latn"], source_suffix=["</s>", "{source}"], language_names=NAMES)
    # Said to be nothing is said.
    check(tmp_path, (NLLB, NLLB), target_prefix=["deu_Latn"], source_prefix=[])


def test_a_decoder_that_starts_with_a_tag_must_have_one(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"teacher\.target_prefix: this model's decoder starts with the tag"):
        check(tmp_path, (NLLB, NLLB), start=None, source_prefix=["eng_Latn"])
