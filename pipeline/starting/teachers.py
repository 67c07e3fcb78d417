"""What kind of teacher a path or a name is, and which keys a recipe needs for it."""

import json
import re
import zipfile
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from data.errors import ConfigError, ModelError
from data.model_folder import INFO_FILE, MODEL_FILE, describe_model, model_faults, read_vocabulary
from pipeline.starting.languages import Languages, language_name, tags_of
from stages.teacher.hub_folder import hub_model_faults
from stages.teacher.marian import OPUS_MT_DESCRIPTION
from stages.text.own_models import find_models

_HUB_NAME = re.compile(r"\w[\w.-]*(/[\w.-]+)?")
# OPUS-MT's models are named after their languages.
_OPUS_NAME = re.compile(r"opus-mt(?:-tc)?(?:-big|-base|-tiny|-small)?-([A-Za-z_]+)-([A-Za-z_]+)")
# Files of translations, by their names; what they hold is looked at when they are read.
_TRANSLATIONS = {".jsonl", ".tsv", ".parquet"}
# Of a checkpoint's description, in which all keys stand.
_HEAD_BYTES = 1 << 26


@dataclass
class Found:
    """The keys of [teacher], [teacher.prompt] and [tokenizer], and what must still be filled in, each with why."""

    keys: dict[str, Any]
    note: str = ""
    open: list[str] = field(default_factory=list)
    prompt: dict[str, str] = field(default_factory=dict)
    tokenizer: dict[str, str] = field(default_factory=lambda: {"kind": "teacher"})


def find_teacher(named: str, languages: Languages) -> Found:
    """By what lies there; what is no path is taken for a name on the hub. Raises ConfigError where it is neither."""
    path = Path(named)
    if path.is_dir():
        return _of_folder(named, path, languages)
    if path.is_file():
        return _of_file(path, languages)
    owner = named.partition("/")[0]
    if named.startswith((".", "/", "~")) or not _HUB_NAME.fullmatch(named) or ("/" in named and Path(owner).is_dir()):
        raise ConfigError([f"--teacher: no such file or folder: {named}"])
    found = Found({"kind": "transformers", "path": named}, "no folder here, so a name on the Hugging Face hub")
    _ask_by_tags(found, named, None, languages)
    _check_opus_name(found, named, languages)
    return found


def _of_folder(named: str, path: Path, languages: Languages) -> Found:
    names = {one.name for one in path.iterdir()}
    if MODEL_FILE in names:
        found = _of_ctranslate2(named, path, languages)
    elif OPUS_MT_DESCRIPTION in names:
        found = Found({"kind": "marian", "path": named}, "an OPUS-MT folder of Marian")
    elif models := sorted(path.glob("*.npz")):
        return _of_file(models[0], languages)
    elif "config.json" in names:
        found = _of_transformers(named, path, languages)
    else:
        shown = ", ".join(sorted(names)[:8]) or "nothing"
        why = "; ".join(fault.removeprefix(f"{path} ") for fault in hub_model_faults(path))
        raise ConfigError(
            [f"--teacher: {named} holds {shown}: no model of a kind that Potstill knows (docs/recipes.md); it {why}"]
        )
    _find_subwords(found, path)
    return found


def _of_file(path: Path, languages: Languages) -> Found:
    if path.suffix == ".npz":
        vocabularies = sorted(str(one) for one in path.parent.glob("*vocab*.yml"))
        found = Found({"kind": "marian", "path": str(path), "vocabularies": vocabularies[:2]}, "a Marian model")
        if len(vocabularies) not in (1, 2):
            found.open.append(
                f"vocabularies: {len(vocabularies)} lie beside it; name the source's and the target's .yml"
            )
        if len(vocabularies) == 2:
            found.open.append("vocabularies: is the first one the source's?")
        _find_subwords(found, path.parent)
        return found
    if _TRANSLATIONS & set(path.suffixes):
        found = Found({"kind": "given", "path": str(path)}, "translations that were made elsewhere")
        found.tokenizer = {"kind": "train"}
        return found
    if path.suffix not in (".pt", ".pth", ".bin", ".ckpt"):
        raise ConfigError([f"--teacher: {path} is no model of a kind that Potstill knows (docs/recipes.md)"])
    content = _description(path)
    if b"generator" in content and b"vocab" in content:
        found = Found({"kind": "opennmt", "path": str(path)}, "an OpenNMT-py checkpoint")
        _name_subwords(found, path.parent)
        return found
    if b"extra_state" in content or list(path.parent.glob("dict.*.txt")):
        return _of_fairseq(path, languages)
    raise ConfigError([f"--teacher: {path} is a checkpoint of neither OpenNMT-py nor fairseq"])


def _of_fairseq(path: Path, languages: Languages) -> Found:
    keys = {"kind": "fairseq", "path": str(path), "dictionaries": str(path.parent)}
    found = Found(keys, "a fairseq checkpoint")
    there = {one.name.split(".")[1] for one in path.parent.glob("dict.*.txt")}
    if missing := sorted(set(languages) - there):
        found.open.append(f"dictionaries: {path.parent} has no dict.{missing[0]}.txt; name the folder that has both")
    _find_subwords(found, path.parent)
    return found


def _of_ctranslate2(named: str, path: Path, languages: Languages) -> Found:
    if faults := model_faults(path):
        raise ConfigError([f"--teacher: {fault}" for fault in faults])
    by_potstill = (path / INFO_FILE).is_file()
    found = Found({"kind": "ctranslate2", "path": named}, f"a CTranslate2 folder{' that Potstill left' * by_potstill}")
    if by_potstill:
        return found
    if describe_model(path, "ctranslate2").architecture == "decoder-only":
        _ask_by_prompt(found, languages)
    else:
        _ask_by_tags(found, named, read_vocabulary(path, "target"), languages)
    return found


def _of_transformers(named: str, path: Path, languages: Languages) -> Found:
    config = _json(path / "config.json")
    kind = str(config.get("model_type", ""))
    found = Found({"kind": "transformers", "path": named}, f"a model of Transformers ({kind or 'of no known type'})")
    if any(str(name).endswith("ForCausalLM") for name in config.get("architectures") or ()):
        _ask_by_prompt(found, languages)
    else:
        _ask_by_tags(found, f"{named} {kind}", _tokens(path), languages)
    return found


def _ask_by_prompt(found: Found, languages: Languages) -> None:
    """A language model: the default prompt, which hardly any model was trained with."""
    found.note += ", decoder-only"
    found.prompt = {
        "source_language": language_name(languages[0]),
        "target_language": language_name(languages[1]),
        "end_token": "",
    }
    found.open.append(
        "prompt: the template that the model was trained with, or examples; and the token that ends a line"
    )


def _ask_by_tags(found: Found, told: str, vocabulary: Collection[str] | None, languages: Languages) -> None:
    """Language tags, where vocabulary, name or configuration say that the model wants them."""
    tags = tags_of(told, vocabulary, languages)
    found.keys |= tags.keys
    found.open += tags.open
    found.note += f", asked by the tags of {tags.family}" if tags.family else ""


def _check_opus_name(found: Found, named: str, languages: Languages) -> None:
    if match := _OPUS_NAME.search(named):
        for key, said, tag in zip(("--from", "--to"), match.groups(), languages, strict=True):
            if said.islower() and len(said) <= 3 and said != tag.split("-")[0] and len(tag.split("-")[0]) == len(said):
                found.open.append(f"path: by its name the model's language is {said}, and {key} says {tag}")
            elif not said.islower() or "_" in said:
                found.open.append(
                    f'source_prefix: {said} are several languages; each is asked for by a tag, such as [">>deu<<"]'
                )


def _find_subwords(found: Found, folder: Path) -> None:
    """The stage tokenizer takes what lies beside the model; said where it will find nothing."""
    try:
        find_models(folder)
    except ModelError:
        _name_subwords(found, folder)


def _name_subwords(found: Found, folder: Path) -> None:
    """Models of SentencePiece by their path, of which the teacher's folder has none."""
    try:
        source, target = find_models(folder)
    except ModelError:
        found.tokenizer = {"kind": "file", "source_model": ""}
        found.open.append(
            "tokenizer.source_model: no SentencePiece model lies beside the teacher; name it, or kind = \"none\" where "
            "texts come as the subwords that the teacher reads"
        )  # fmt: skip
        return
    found.tokenizer = {"kind": "file", "source_model": str(source)}
    if target:
        found.tokenizer["target_model"] = str(target)


def _tokens(folder: Path) -> list[str] | None:
    """All tokens that the tokenizer of a Transformers model says by name; None where it has none of these files."""
    found: list[str] = []
    for name in ("vocab.json", "added_tokens.json"):
        found += _json(folder / name)
    for token in _json(folder / "tokenizer.json").get("added_tokens") or ():
        found.append(str(token.get("content", "")))
    for name in ("special_tokens_map.json", "tokenizer_config.json"):
        content = _json(folder / name)
        extra = [*(content.get("additional_special_tokens") or ()), *(content.get("extra_special_tokens") or ())]
        found += [str(token.get("content", "")) if isinstance(token, dict) else str(token) for token in extra]
        found += [str(each.get("content", "")) for each in (content.get("added_tokens_decoder") or {}).values()]
    return found or None


def _json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _description(path: Path) -> bytes:
    """The bytes in which a checkpoint names its parts; nothing of them is run."""
    try:
        with zipfile.ZipFile(path) as archive:
            name = next(name for name in archive.namelist() if name.endswith("data.pkl"))
            with archive.open(name) as stream:
                return stream.read(_HEAD_BYTES)
    except (zipfile.BadZipFile, StopIteration):
        with path.open("rb") as stream:
            return stream.read(_HEAD_BYTES)
