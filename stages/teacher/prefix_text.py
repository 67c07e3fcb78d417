"""A source prefix that a recipe spells as a text, such as T5's `translate English to German:`."""

import tempfile
from pathlib import Path

from data.errors import ModelError
from data.language_tags import is_tagged
from data.model_folder import TeacherInfo, read_vocabulary
from stages.text.own_models import find_models, tokenizer_of


def with_text_as_tokens(folder: Path, info: TeacherInfo) -> TeacherInfo:
    """The same with entries of source_prefix that are texts, and no tokens, as the model's own subwords."""
    known = set(read_vocabulary(folder, "source"))
    texts = [entry for entry in info.source_prefix if " " in entry and entry not in known and not is_tagged([entry])]
    if not texts or not _has_models(folder):
        return info
    with tempfile.TemporaryDirectory(prefix="potstill-prefix-") as scratch:
        encoded = dict(zip(texts, tokenizer_of(folder, Path(scratch)).encode_source(texts), strict=True))
    prefix = [token for entry in info.source_prefix for token in encoded.get(entry, [entry])]
    return info.model_copy(update={"source_prefix": tuple(prefix)})


def _has_models(folder: Path) -> bool:
    try:
        find_models(folder)
    except ModelError:
        return False
    return True
