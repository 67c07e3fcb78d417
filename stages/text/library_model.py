"""Subwords of a `tokenizer.json`, as the library tokenizers keeps them: byte-level BPE, WordPiece, Unigram."""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data.errors import ModelError
from stages.text.marks import split_at, without_marks

if TYPE_CHECKING:
    from tokenizers import Tokenizer


# What stands around a special token's other name: characters of private use.
_NAMED = ("\ue010", "\ue011")
# How models write the space before a word.
_SPACES = "\u2581\u0120"


@dataclass(frozen=True)
class _Template:
    """Text around a source whose special tokens go by other names, and the model that knows them by those."""

    before: str
    after: str
    marks: Mapping[str, str]
    count: int
    model: "_Opened"


class LibraryModel:
    """Texts <-> tokens. `encode` takes a text for text, whatever special tokens it spells."""

    def __init__(self, path: Path) -> None:
        self._path, self._content = path, read_library_file(path)
        self._templates: dict[tuple[str, str, tuple[str, ...]], _Template] = {}

    def encode(self, texts: Sequence[str]) -> list[list[str]]:
        """Tokens of each text."""
        return self._encode(self._plain, texts)

    def encode_prompt(self, before: str, text: str, after: str, marks: Collection[str]) -> list[str] | None:
        """Tokens of a text with a template around it, all as the model has them, and whose marks are the template's.

        The template's marks go by other names meanwhile, which a text cannot spell. None where that fails.
        """
        template = self._template(before, after, tuple(marks))
        if _NAMED[0] in text:
            return None
        tokens = self._encode(template.model, [f"{template.before}{text}{template.after}"])[0]
        if sum(token in template.marks for token in tokens) != template.count:
            return None
        result: list[str] = []
        for token in tokens:
            mark = template.marks.get(token)
            result += without_marks([token], marks, self.spell) if mark is None else [mark]
        return result

    def decode(self, rows: Sequence[Sequence[str]]) -> list[str]:
        """The text of each list of tokens; those that it does not know, and special ones, say nothing."""
        numbered = [[self._full.token_to_id(token) for token in row] for row in rows]
        known = [[number for number in row if number is not None] for row in numbered]
        return list(self._full.decode_batch(known, skip_special_tokens=True)) if known else []

    def pieces(self) -> list[str]:
        """All tokens in order, without special ones."""
        special = set(special_tokens(self._content))
        numbered = sorted(self._full.get_vocab().items(), key=lambda item: item[1])
        return [token for token, _ in numbered if token not in special and token != self._unknown]

    def spell(self, token: str) -> list[str]:
        """The characters of a token, each as the model has it in a word."""
        return [part for character in token for part in self._inside(character)]

    def _inside(self, character: str) -> list[str]:
        """Without the space that some models put before a text."""
        parts = self._encode(self._plain, [character])[0]
        if character.isspace() or not parts or parts[0][0] not in _SPACES or parts[0] == character:
            return parts
        rest = parts[0][1:]
        if rest and self._full.token_to_id(rest) is None:
            return parts
        return [*([rest] if rest else []), *parts[1:]]

    def _template(self, before: str, after: str, marks: tuple[str, ...]) -> "_Template":
        key = (before, after, marks)
        if key not in self._templates:
            added, wanted = self._content.get("added_tokens", []), frozenset(marks)
            numbered = enumerate(entry["content"] for entry in added)
            names = {mark: f"{_NAMED[0]}{number}{_NAMED[1]}" for number, mark in numbered if mark in wanted}
            others = [{**entry, "content": names.get(entry["content"], entry["content"])} for entry in added]
            sides = [split_at(side, names) for side in (before, after)]
            asked = ["".join(names[part] if mark else part for part, mark in side) for side in sides]
            marks_by_name = {name: mark for mark, name in names.items()}
            count = sum(mark for side in sides for _, mark in side)
            model = _Opened.of(_open({**self._content, "added_tokens": others, "post_processor": None}, self._path))
            self._templates[key] = _Template(asked[0], asked[1], marks_by_name, count, model)
        return self._templates[key]

    def _encode(self, opened: "_Opened", texts: Sequence[str]) -> list[list[str]]:
        """By their ids: the library itself tells a special token with the spaces that it swallowed."""
        if not texts:
            return []
        found = opened.model.encode_batch(list(texts), add_special_tokens=False)
        result = []
        for text, row in zip(texts, found, strict=True):
            tokens = [opened.tokens[number] for number in row.ids]
            if self._unknown in tokens:
                # Told by what it is, as SentencePiece does: else it would look like a text's own <unk>.
                spans = zip(tokens, row.offsets, strict=True)
                tokens = [_shown(text[slice(*span)]) if one == self._unknown else one for one, span in spans]
            result.append(tokens)
        return result

    @cached_property
    def _unknown(self) -> str | None:
        model = self._content["model"]
        number = model.get("unk_id")
        return model.get("unk_token") if number is None else str(model["vocab"][number][0])

    @cached_property
    def _full(self) -> "Tokenizer":
        return _open(self._content, self._path)

    @cached_property
    def _plain(self) -> "_Opened":
        """Without special tokens: those of the format, and not those that are written for speed or spaces."""
        others = [entry for entry in self._content.get("added_tokens", []) if not entry.get("special")]
        return _Opened.of(_open({**self._content, "added_tokens": others}, self._path))


@dataclass(frozen=True)
class _Opened:
    """A model of the library, and its tokens by id."""

    model: "Tokenizer"
    tokens: Mapping[int, str]

    @classmethod
    def of(cls, model: "Tokenizer") -> "_Opened":
        return cls(model, {number: token for token, number in model.get_vocab().items()})


def _shown(text: str) -> str:
    """What is unknown, as a token: none holds a space."""
    return text.replace(" ", "\u2581") or "\u2581"


def is_library_file(path: Path) -> bool:
    """Whether a `tokenizer.json` is one of the library's, and not what Potstill wrote of a folder's models."""
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return False
    return isinstance(content, dict) and isinstance(content.get("model"), dict)


def read_library_file(path: Path) -> dict[str, Any]:
    """The content of such a file; raises ModelError when it is none."""
    if not path.is_file() or not is_library_file(path):
        raise ModelError(f"{path} is no tokenizer.json of the library tokenizers, or a damaged one; give another")
    content: dict[str, Any] = json.loads(path.read_bytes())
    return content


def special_tokens(content: dict[str, Any]) -> list[str]:
    """The tokens of its format that such a file names."""
    return [entry["content"] for entry in content.get("added_tokens", []) if entry.get("special")]


def _open(content: dict[str, Any], path: Path) -> "Tokenizer":
    try:
        from tokenizers import Tokenizer
    except ImportError as error:
        raise ModelError(
            f"{path} needs the library tokenizers, which is not installed: pip install tokenizers, on every machine "
            "with workers"
        ) from error
    # Rows are cut and padded elsewhere.
    alone = {**content, "truncation": None, "padding": None}
    try:
        model = Tokenizer.from_str(json.dumps(alone))
    except Exception as error:  # the library raises nothing more special
        raise ModelError(f"{path} cannot be read by the library tokenizers: {error}; save it again") from error
    return model
