"""Which tokens a model wants around a sentence: its end marks and language tags."""

import json
import re
from collections.abc import Sequence
from pathlib import Path

from data.errors import ModelError
from data.language_tags import SOURCE, TARGET, Direction, all_rendered, is_tagged, render
from data.model_folder import CONFIG_FILE, TeacherInfo, read_vocabulary, special_token, starts_with_prefix

# Language tags as M2M-100, NLLB and mBART write them.
_TAGS = {"M2M-100": r"__[a-z]{2,3}__", "NLLB": r"[a-z]{3}_[A-Z][a-z]{3}", "mBART": r"[a-z]{2}_[A-Z]{2}"}
# Of models that are told the target language before the source, in the source's vocabulary.
_SOURCE_TAGS = {"OPUS-MT": r">>[A-Za-z_-]+<<", "MADLAD-400": r"<2[A-Za-z_-]+>"}
_FEW = 3
# What the tokenizer of the model's own adds around a text: tokens before and after it.
AROUND = "around.json"


def is_language_tag(token: str) -> bool:
    """Whether a token is what some family of models calls a language by."""
    return any(re.fullmatch(pattern, token) for pattern in (*_TAGS.values(), *_SOURCE_TAGS.values()))


def is_nllb_tag(token: str) -> bool:
    """Whether a token is a language's of NLLB."""
    return re.fullmatch(_TAGS["NLLB"], token) is not None


def default_around(folder: Path) -> dict[str, tuple[str, ...]]:
    """What a model's own tokenizer puts around a text, but for languages, which a recipe has to name."""
    before, after = json.loads((folder / AROUND).read_bytes())
    sides = {"source_prefix": before, "source_suffix": after}
    return {name: tuple(token for token in side if not is_language_tag(token)) for name, side in sides.items()}


def default_source_suffix(folder: Path) -> tuple[str, ...]:
    """`</s>`, where the model was trained with it and CTranslate2 does not add it.

    Converters that know say so (`add_source_eos`). That of transformers leaves it to the tokenizer, and shows in that
    decoding starts with </s>, <pad> or the caller's tag, and not with <s>.
    """
    try:
        config = json.loads((folder / CONFIG_FILE).read_bytes())
    except (OSError, ValueError):
        return ()
    if not isinstance(config, dict) or config.get("add_source_eos") or "decoder_start_token" not in config:
        return ()
    end = special_token(folder, "eos_token")
    return (end,) if config["decoder_start_token"] in {end, "<pad>", None} else ()


def default_source_prefix(folder: Path) -> tuple[str, ...]:
    """The token with which a language model's sequences begin, where it has one of its own for that."""
    begin, end = special_token(folder, "bos_token"), special_token(folder, "eos_token")
    return (begin,) if begin != end and begin in set(read_vocabulary(folder, "source")) else ()


def check_asked(folder: Path, info: TeacherInfo) -> None:
    """Raises ModelError when a language model is not told how it is asked, or any other model is told."""
    if info.architecture == "encoder-decoder":
        if info.prompt is not None:
            raise ModelError("teacher.prompt: this teacher is encoder-decoder and reads the source alone; leave it out")
        return
    if info.target_prefix:
        raise ModelError(
            "teacher.target_prefix: a decoder-only teacher has one sequence; put the tokens into source_suffix"
        )
    if info.prompt is None and not info.source_suffix:
        raise ModelError(
            "this teacher is decoder-only and was not told how it is asked for a translation: it would go on with the "
            "source's text; set [teacher.prompt], or teacher.source_suffix to the token that it was trained with"
        )
    if info.end_token and info.end_token not in set(read_vocabulary(folder, "target")):
        raise ModelError(
            f"teacher.prompt.end_token: the teacher's vocabulary has no {info.end_token!r}; it must be one token, as "
            "the vocabulary writes it: a line break is <0x0A> where bytes have tokens"
        )


def check_tags(folder: Path, info: TeacherInfo, *, target_given: bool, source_given: bool = True) -> None:
    """Raises ModelError when a tag is not in the vocabulary, or a model of many languages is not told which ones.

    `target_given`, `source_given`: the recipe, or the model's folder, says what stands there, be it nothing.
    """
    if info.is_tagged() and not info.language_names:
        raise ModelError(
            "teacher.language_names: {source} and {target} in the prefixes stand for names that this model has for "
            'languages; name those of the recipe, e.g. {en = "eng_Latn", de = "deu_Latn"}'
        )
    if starts_with_prefix(folder) and not info.target_prefix:
        raise ModelError(
            "teacher.target_prefix: this model's decoder starts with the tag of the target language, as mBART-25's "
            'does; set it, such as ["de_DE"], and teacher.source_suffix to ["</s>", "en_XX"]'
        )
    source, target = read_vocabulary(folder, "source"), read_vocabulary(folder, "target")
    sides = {"source_prefix": source, "source_suffix": source, "target_prefix": target}
    for name, vocabulary in sides.items():
        _check_known(name, getattr(info, name), vocabulary, info)
    _check_target_told(info, source, target, target_given=target_given)
    _check_source_told(info, target, source_given=source_given)


def _check_known(name: str, tokens: Sequence[str], vocabulary: Sequence[str], info: TeacherInfo) -> None:
    """Tokens of one place. Which language is whose tag hangs on the row: of each token, one must be there."""
    known = set(vocabulary)
    unknown = [token for token in tokens if not is_tagged([token]) and token not in known]
    for token in tokens:
        rendered = _rendered(token, info)
        if rendered and not known & set(rendered):
            unknown += rendered
    if unknown:
        tags = ", ".join((_language_tags(vocabulary)[1] or _source_tags(vocabulary)[1])[:8])
        hint = f"; its language tags are {tags}, ..." if tags else "; it has no language tags"
        hint += (
            "" if tags or " " not in unknown[0] else "; a text is read in source_prefix, without {source} and {target}"
        )
        raise ModelError(f"teacher.{name}: the teacher's vocabulary has no {', '.join(map(repr, unknown))}{hint}")


def _rendered(token: str, info: TeacherInfo) -> list[str]:
    """What a token is in the directions that the model is for."""
    if not info.pairs:
        return list(all_rendered([token], info.language_names))
    found = [Direction(*pair.split("-", 1)) for pair in info.pairs]
    there = [each for each in found if set(each) <= set(info.language_names)]
    return list(dict.fromkeys(render([token], each, info.language_names)[0] for each in there if is_tagged([token])))


def _check_target_told(info: TeacherInfo, source: Sequence[str], target: Sequence[str], *, target_given: bool) -> None:
    family, tags = _source_tags(source)
    around = (*info.source_prefix, *info.source_suffix)
    if (
        tags
        and not any(token in tags or TARGET in token for token in around)
        and not (target_given and info.target_prefix)
    ):
        raise ModelError(
            f"this teacher writes many languages (tags as of {family}: {', '.join(tags[:4])}, ...) and was not told "
            f'which; set teacher.source_prefix = ["{tags[0]}"], or the tag of your target language'
        )
    family, tags = _language_tags(target)
    if not target_given and tags:
        raise ModelError(
            f"this teacher writes many languages (tags as of {family}: {', '.join(tags[:4])}, ...) and was not told "
            'which; set teacher.target_prefix = ["<tag of the target language>"], or ["{target}"] and '
            "teacher.language_names where rows have several, the same way teacher.source_prefix, or target_prefix = [] "
            "if it needs none"
        )


def _check_source_told(info: TeacherInfo, target: Sequence[str], *, source_given: bool) -> None:
    """A model that is told the target's language by a tag is told the source's by one of the same kind."""
    family, tags = _language_tags(target)
    told = any(token in tags or TARGET in token or SOURCE in token for token in info.target_prefix)
    around = (*info.source_prefix, *info.source_suffix)
    if source_given or not told or any(token in tags or SOURCE in token for token in around):
        return
    raise ModelError(
        f"teacher.source_prefix: this teacher (tags as of {family}) is told the source's language, too; set it to "
        'its tag, such as ["{source}"] with teacher.language_names, or of mBART-25 source_suffix = ["</s>", "en_XX"], '
        "or source_prefix = [] if it needs none"
    )


def _source_tags(vocabulary: Sequence[str]) -> tuple[str, list[str]]:
    for family, pattern in _SOURCE_TAGS.items():
        if len(tags := [token for token in vocabulary if re.fullmatch(pattern, token)]) >= _FEW:
            return family, tags
    return "", []


def _language_tags(vocabulary: Sequence[str]) -> tuple[str, list[str]]:
    for family, pattern in _TAGS.items():
        if len(tags := [token for token in vocabulary if re.fullmatch(pattern, token)]) >= _FEW:
            return family, tags
    return "", []
