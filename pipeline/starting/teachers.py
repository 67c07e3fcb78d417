"""What kind of teacher a path or a name is, and which keys a recipe needs for it."""

import json
from dataclasses import dataclass, field
from pathlib import Path

# How the families of many languages want to be asked; None where the recipe's own tags do.
_NLLB = "nllb"
_FAMILIES = (_NLLB, "m2m", "mbart", "madlad", "t5")


@dataclass
class Found:
    """The keys of [teacher], and what must still be filled in, each with why."""

    keys: dict[str, object]
    open: list[str] = field(default_factory=list)
    note: str = ""


def find_teacher(named: str, languages: tuple[str, str]) -> Found:
    """By what lies there; a name that is no path is taken for one of the hub."""
    path = Path(named)
    if not path.exists():
        return _of_family(
            Found({"kind": "transformers", "path": named}, note="a name on the Hugging Face hub"), named, languages
        )
    if path.is_file():
        return _of_file(path)
    names = {one.name for one in path.iterdir()}
    if {"model.bin", "config.json"} <= names and any("vocabulary" in name for name in names):
        note = "a CTranslate2 folder" + (" that Potstill left" if "potstill.json" in names else "")
        return Found({"kind": "ctranslate2", "path": named}, note=note)
    if any(name.endswith(".npz") for name in names):
        return Found({"kind": "marian", "path": named}, note="a Marian model")
    if "config.json" in names:
        kind = _model_type(path / "config.json")
        found = Found(
            {"kind": "transformers", "path": named}, note=f"a model of Transformers ({kind or 'of no known type'})"
        )
        return _of_family(found, f"{named} {kind}", languages)
    found = Found({"kind": "ctranslate2", "path": named}, note="of a kind that cannot be told")
    found.open.append("teacher.kind: the folder has neither model.bin, config.json nor an .npz")
    return found


def _of_file(path: Path) -> Found:
    if path.suffix == ".pt":
        beside = sorted(path.parent.glob("dict.*.txt"))
        if beside:
            keys: dict[str, object] = {"kind": "fairseq", "path": str(path), "dictionaries": str(path.parent)}
            return Found(keys, note="a fairseq checkpoint, for its dictionaries lie beside it")
        return Found({"kind": "opennmt", "path": str(path)}, note="an OpenNMT-py checkpoint")
    if path.suffix == ".npz":
        return Found({"kind": "marian", "path": str(path)}, note="a Marian model")
    found = Found({"kind": "opennmt", "path": str(path)}, note="of a kind that cannot be told")
    found.open.append(f"teacher.kind: {path.name} is neither .pt nor .npz")
    return found


def _of_family(found: Found, told: str, languages: tuple[str, str]) -> Found:
    """Language tags, where the name or the configuration says that the model wants them."""
    family = next((name for name in _FAMILIES if name in told.lower()), "")
    if family == _NLLB:
        found.keys |= {
            "language_names": {tag: nllb_name(tag) for tag in languages},
            "source_prefix": ["{source}"],
            "target_prefix": ["{target}"],
        }
        found.open.append("teacher.language_names: guessed; compare with the model's own list of languages")
    elif family == "m2m":
        found.keys |= {
            "language_names": {tag: tag.split("-")[0] for tag in languages},
            "source_prefix": ["__{source}__"],
            "target_prefix": ["__{target}__"],
        }
    elif family:
        found.open.append(
            f"teacher.source_prefix, target_prefix: how a model of the family {family} is asked for a language"
        )
    return found


def nllb_name(tag: str) -> str:
    """`deu_Latn` for de: ISO 639-3 and the script that the language is most often written in."""
    from langcodes import Language

    found = Language.get(tag).maximize()
    return f"{found.to_alpha3()}_{found.script}"


def _model_type(path: Path) -> str:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return ""
    return str(content.get("model_type", "")) if isinstance(content, dict) else ""
