"""Language tags: tokens that tell a model in which direction it translates.

They are rendered from a row's language columns whenever a model is trained or asked, and stand in no stored text. A
model's prefix may hold {source} and {target}, which stand for what the model calls the row's languages: <2{target}> is
how models are trained here (https://aclanthology.org/Q17-1024), {source} and {target} alone how NLLB wants it.
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Literal, NamedTuple

from data.errors import ModelError

SOURCE, TARGET = "{source}", "{target}"
# Regions where Chinese is written in traditional characters when no script is named.
_TRADITIONAL = {"TW", "HK", "MO"}
Tags = Literal["none", "target", "both"]
_TEMPLATES: Mapping[Tags, tuple[str, ...]] = {
    "none": (),
    "target": (f"<2{TARGET}>",),
    "both": (f"<from:{SOURCE}>", f"<2{TARGET}>"),
}


class Direction(NamedTuple):
    """Out of which language, into which; BCP-47 tags. As text it is a pair's name, such as en-de."""

    source: str
    target: str

    def __str__(self) -> str:
        return f"{self.source}-{self.target}"


@cache
def written_language(tag: str) -> str:
    """A BCP-47 tag without its region: the language, with the script where it is named or, of Chinese, known by it."""
    language, *rest = tag.replace("_", "-").split("-")
    script = next((part.title() for part in rest if len(part) == 4 and part.isalpha()), "")
    if language.lower() == "zh" and not script:
        script = "Hant" if {part.upper() for part in rest} & _TRADITIONAL else "Hans"
    return "-".join(filter(None, [language.lower(), script]))


def source_templates(tags: Tags) -> tuple[str, ...]:
    """What stands before every source of a model that is trained here with these tags."""
    return _TEMPLATES[tags]


def is_tagged(tokens: Iterable[str]) -> bool:
    """Whether some token hangs on the direction."""
    return any(SOURCE in token or TARGET in token for token in tokens)


def render(tokens: Sequence[str], direction: Direction, names: Mapping[str, str]) -> tuple[str, ...]:
    """The tokens for one direction; `names`: what the model calls its languages, by tag.

    Raises ModelError when a token hangs on the direction and the model has no name for one of its languages.
    """
    if not is_tagged(tokens):
        return tuple(tokens)
    if unknown := [language for language in direction if language not in names]:
        raise ModelError(
            f"the model has no language {', '.join(unknown)}; it knows {', '.join(sorted(names)) or 'none by name'}"
        )
    source, target = (names[language] for language in direction)
    return tuple(token.replace(SOURCE, source).replace(TARGET, target) for token in tokens)


def all_rendered(tokens: Sequence[str], names: Mapping[str, str]) -> tuple[str, ...]:
    """Every token that some direction between these languages has; those that hang on none are left out."""
    found = [
        part
        for token in tokens
        if is_tagged([token])
        for first in names
        for second in names
        for part in render([token], Direction(first, second), names)
    ]
    return tuple(dict.fromkeys(found))
