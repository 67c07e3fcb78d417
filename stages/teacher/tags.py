"""Which tokens a model wants around a sentence: its end marks and language tags."""

import json
import re
from collections.abc import Sequence
from pathlib import Path

from data.errors import ModelError
from data.language_tags import all_rendered, is_tagged
from data.model_folder import CONFIG_FILE, TeacherInfo, read_vocabulary, special_token

# Language tags as M2M-100, NLLB and mBART write them.
_TAGS = {"M2M-100": r"__[a-z]{2,3}__", "NLLB": r"[a-z]{3}_[A-Z][a-z]{3}", "mBART": r"[a-z]{2}_[A-Z]{2}"}
_FEW = 3


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


def check_tags(folder: Path, info: TeacherInfo, *, target_given: bool) -> None:
    """Raises ModelError when a tag is not in the vocabulary, or a model of many languages is not told which one."""
    if info.is_tagged() and not info.language_names:
        raise ModelError(
            "teacher.language_names: {source} and {target} in the prefixes stand for names that this model has for "
            'languages; name those of the recipe, e.g. {en = "eng_Latn", de = "deu_Latn"}'
        )
    source, target = read_vocabulary(folder, "source"), read_vocabulary(folder, "target")
    sides = {"source_prefix": source, "source_suffix": source, "target_prefix": target}
    for name, vocabulary in sides.items():
        tokens = getattr(info, name)
        # Which of the model's languages is whose tag hangs on the row.
        tags = [*(token for token in tokens if not is_tagged([token])), *all_rendered(tokens, info.language_names)]
        if unknown := [tag for tag in tags if tag not in set(vocabulary)]:
            known = ", ".join(_language_tags(vocabulary)[1][:8])
            hint = f"; its language tags are {known}, ..." if known else "; it has no language tags"
            raise ModelError(f"teacher.{name}: the teacher's vocabulary has no {', '.join(map(repr, unknown))}{hint}")
    family, tags = _language_tags(target)
    if not target_given and len(tags) >= _FEW:
        raise ModelError(
            f"this teacher writes many languages (tags as of {family}: {', '.join(tags[:4])}, ...) and was not told "
            'which; set teacher.target_prefix = ["<tag of the target language>"], or ["{target}"] and '
            "teacher.language_names where rows have several, the same way teacher.source_prefix, or target_prefix = [] "
            "if it needs none"
        )


def _language_tags(vocabulary: Sequence[str]) -> tuple[str, list[str]]:
    for family, pattern in _TAGS.items():
        if len(tags := [token for token in vocabulary if re.fullmatch(pattern, token)]) >= _FEW:
            return family, tags
    return "", []
