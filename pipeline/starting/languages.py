"""What models of many languages call the recipe's languages, and what prompts call them."""

import re
from collections.abc import Collection
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Any, Literal

Languages = tuple[str, str]
Family = Literal["NLLB", "M2M-100", "mBART"]
_PATTERNS: dict[Family, str] = {
    "M2M-100": r"__[a-z]{2,3}__",
    "NLLB": r"[a-z]{3}_[A-Z][a-z]{3}",
    "mBART": r"[a-z]{2}_[A-Z]{2}",
}
_BY_NAME: tuple[tuple[str, Family], ...] = (("nllb", "NLLB"), ("m2m", "M2M-100"), ("mbart", "mBART"))
# The modules of Transformers that list them.
_PUBLISHED: dict[Family, str] = {
    "NLLB": "nllb.tokenization_nllb",
    "M2M-100": "m2m_100.tokenization_m2m_100",
    "mBART": "mbart50.tokenization_mbart50",
}
# Of these it is known that they are asked in some way, and not in which.
_OTHERS = ("madlad", "t5", "towerinstruct", "indictrans", "seamless", "small100")
# OPUS-MT's of several languages.
_OPUS = r">>[A-Za-z_]+<<"
_FEW = 3
# FLORES has one language of each of these, which BCP-47 names as a group.
_FLORES = {
    "ar": "arb", "ay": "ayr", "az": "azj", "fa": "pes", "fil": "tgl", "ku": "kmr", "lv": "lvs", "mg": "plt",
    "mn": "khk", "ms": "zsm", "ne": "npi", "no": "nob", "om": "gaz", "or": "ory", "ps": "pbt", "qu": "quy",
    "sq": "als", "sw": "swh", "tl": "tgl", "uz": "uzn", "yi": "ydd",
}  # fmt: skip


@dataclass
class Tags:
    """Keys of [teacher] for a family of models, and what is not known of them."""

    family: Family | None = None
    keys: dict[str, Any] = field(default_factory=dict)
    open: list[str] = field(default_factory=list)


def tags_of(told: str, vocabulary: Collection[str] | None, languages: Languages) -> Tags:
    """How a model is asked: `told` is its name and type, `vocabulary` its tokens where they are here."""
    family, known = _family(told.lower(), vocabulary)
    if family is None:
        return Tags(open=[*_opus(vocabulary, languages), *_others(told.lower())])
    names = {tag: name for tag in languages if (name := _name(family, tag, known))}
    tags = ["{source}", "{target}"] if family != "M2M-100" else ["__{source}__", "__{target}__"]
    keys = {"language_names": names, "source_prefix": tags[:1], "target_prefix": tags[1:]}
    if missing := [tag for tag in languages if tag not in names]:
        near = ", ".join(sorted(known)[:6]) if known else "of the model's card"
        return Tags(family, keys, [f"language_names: what the model calls {', '.join(missing)}: one {near}, ..."])
    unsure = [] if known else ["language_names: by the usual names; compare them with those of the model's card"]
    return Tags(family, keys, unsure)


def language_name(tag: str) -> str:
    """In English, as prompts have it."""
    from babel import Locale, UnknownLocaleError

    try:
        return str(Locale.parse(tag, sep="-").get_display_name("en"))
    except (UnknownLocaleError, ValueError):
        return tag


def nllb_name(tag: str) -> str:
    """`deu_Latn` for de: FLORES's code of the language, and the script that it is most often written in."""
    from langcodes import Language

    found = Language.get(tag).maximize()
    code = _FLORES.get(tag.split("-")[0].lower()) or found.to_alpha3()
    return f"{code}_{found.script}"


def _family(told: str, vocabulary: Collection[str] | None) -> tuple[Family | None, set[str]]:
    """With all of its tags that are known."""
    for family, pattern in _PATTERNS.items():
        found = {token for token in vocabulary or () if re.fullmatch(pattern, token)}
        if len(found) >= _FEW:
            return family, found
    named: Family | None = next((family for part, family in _BY_NAME if part in told), None)
    return named, _published(named) if named else set()


def _published(family: Family) -> set[str]:
    """All tags of a family, where Transformers is here to tell: it has them with its tokenizers."""
    if find_spec("transformers") is None:
        return set()
    from importlib import import_module

    found = getattr(import_module(f"transformers.models.{_PUBLISHED[family]}"), "FAIRSEQ_LANGUAGE_CODES", ())
    codes = found.get("m2m100", ()) if isinstance(found, dict) else found
    return {f"__{code}__" if family == "M2M-100" else str(code) for code in codes}


def _name(family: Family, tag: str, known: set[str]) -> str | None:
    """What the model calls a language; None where it is not among those that are known."""
    code = tag.split("-")[0].lower()
    if family == "NLLB":
        name = nllb_name(tag)
        return name if not known or name in known else None
    if family == "M2M-100":
        return code if not known or f"__{code}__" in known else None
    found = sorted(each for each in known if each.startswith(f"{code}_"))
    return found[0] if len(found) == 1 else None


def _opus(vocabulary: Collection[str] | None, languages: Languages) -> list[str]:
    tags = sorted(token for token in vocabulary or () if re.fullmatch(_OPUS, token))
    if len(tags) < 2:
        return []
    return [
        f'source_prefix: the tag that asks for {languages[1]}, as in ["{tags[0]}"]: one of {", ".join(tags[:8])}, ...'
    ]


def _others(told: str) -> list[str]:
    family = next((name for name in _OTHERS if name in told), "")
    return (
        [f"source_prefix, target_prefix: how a model of the family {family} is asked for a language"] if family else []
    )
