"""From pydantic's errors to one line a fault: dotted key, what was found, what is allowed, the nearest known name."""

import difflib
import types
from collections.abc import Iterable, Iterator, Mapping, Sequence
from copy import deepcopy
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

_OUT_OF_RANGE = {"greater_than", "greater_than_equal", "less_than", "less_than_equal"}
_BOUNDS = ("ge", "gt", "le", "lt")
_FOUND = {"bool": "truth value", "int": "integer", "float": "number", "str": "text", "list": "list", "dict": "table"}


def validation_faults(model: type[BaseModel], error: ValidationError, prefix: str) -> list[str]:
    """All faults pydantic found in a section, one line each, every key starting with `prefix`."""
    lines = [_line(model, details, prefix) for details in error.errors(include_url=False)]
    return list(dict.fromkeys(lines))


def without_unknown_keys(content: Mapping[str, Any], error: ValidationError) -> dict[str, Any] | None:
    """A copy of a section without the keys that pydantic does not know; None when it found none of them."""
    places = [details["loc"] for details in error.errors() if details["type"] == "extra_forbidden"]
    copy = deepcopy(dict(content))
    removed = [_remove(copy, place) for place in places]
    return copy if any(removed) else None


def _remove(content: Any, place: Sequence[Any]) -> bool:
    """Deletes what stands at a place; names of a union's members, which pydantic adds to it, are stepped over."""
    *way, last = place
    for step in way:
        inside = isinstance(step, int) if isinstance(content, list) else isinstance(content, dict) and step in content
        content = content[step] if inside else content
    if not isinstance(content, dict) or last not in content:
        return False
    del content[last]
    return True


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """`; did you mean x?` for the nearest known name, or the list of known names when none is near."""
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    if near:
        return f"; did you mean {near[0]}?"
    return f"; known: {', '.join(names)}" if names else ""


def dotted(prefix: str, path: Iterable[str | int]) -> str:
    """`("sources", 0, "file")` below `corpus` -> `corpus.sources[0].file`."""
    return prefix + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)


def _line(model: type[BaseModel], details: Mapping[str, Any], prefix: str) -> str:
    kind, found = details["type"], details.get("input")
    path, types = _walk(model, details["loc"], names_key=kind in {"extra_forbidden", "missing"})
    key = dotted(prefix, path)
    if kind == "extra_forbidden":
        return f"{key}: unknown key{did_you_mean(str(path[-1]), _field_names(types[-2]))}"
    if kind == "missing":
        return f"{key}: required, but not given"
    if kind in _OUT_OF_RANGE:
        return f"{key}: {found!r} is out of range; allowed: {_range(_field(types, path), details['ctx'])}"
    if kind in {"literal_error", "union_tag_invalid", "enum"}:
        return f"{key}: {_choice(details)}"
    if kind in {"value_error", "assertion_error"}:
        return _of_our_own(key, str(details["ctx"]["error"]), _field_names(types[-1]))
    return f"{key}: {_wrong_type(details, found)}"


def _of_our_own(key: str, message: str, names: list[str]) -> str:
    """A validator's message; one that begins with `name: ` is about that key of the section."""
    return f"{key}.{message}" if message.partition(": ")[0] in names else f"{key}: {message}"


def _wrong_type(details: Mapping[str, Any], found: Any) -> str:
    message = str(details["msg"]).replace("Input should be", "expected").replace("String should", "text should")
    if isinstance(found, dict | list):
        return f"{message}; found a {_FOUND[type(found).__name__]}"
    return f"{message}; found {found!r} ({_FOUND.get(type(found).__name__, type(found).__name__)})"


def _choice(details: Mapping[str, Any]) -> str:
    context, found = details.get("ctx", {}), details.get("input")
    if details["type"] == "union_tag_invalid":
        found = context["tag"]
    expected = str(context.get("expected", context.get("expected_tags", "")))
    choices = [choice.strip().strip("'") for choice in expected.replace(" or ", ", ").split(",")]
    near = difflib.get_close_matches(str(found), choices, n=1, cutoff=0.6)
    hint = f"; did you mean {near[0]}?" if near else ""
    return f"{found!r} is not one of {', '.join(choices)}{hint}"


def _range(field: FieldInfo | None, broken: Mapping[str, Any]) -> str:
    """The whole allowed range of a field, both ends, whichever was broken; only that one where it is no field's."""
    low = high = ""
    for rule in [broken, *({name: getattr(rule, name, None) for name in _BOUNDS} for rule in _rules(field))]:
        low = _bound(rule, ge="at least {}", gt="more than {}") or low
        high = _bound(rule, le="at most {}", lt="less than {}") or high
    return " and ".join(part for part in (low, high) if part)


def _rules(field: FieldInfo | None) -> list[Any]:
    return field.metadata if field else []


def _bound(rule: Mapping[str, Any], **texts: str) -> str:
    found = (text.format(rule[name]) for name, text in texts.items() if rule.get(name) is not None)
    return next(found, "")


def _field(types: list[Any], path: list[str | int]) -> FieldInfo | None:
    """The innermost named field on the way to `path`: a range may stand on a list's items or a dict's values."""
    for kind, part in zip(reversed(types[:-1]), reversed(path), strict=True):
        for model in _models(kind):
            if part in model.model_fields:
                return model.model_fields[str(part)]
    return None


def _walk(
    model: type[BaseModel], location: tuple[str | int, ...], *, names_key: bool
) -> tuple[list[str | int], list[Any]]:
    """The keys of the recipe on the way to a fault, and the types before each of them and behind the last.

    Pydantic's location also names the member of a union it looked into; such a part is no key and left out.
    `names_key` says that the last part is a key of the recipe, known or not.
    """
    path: list[str | int] = []
    types: list[Any] = [model]
    for index, part in enumerate(location):
        last = names_key and index == len(location) - 1
        member = _member(types[-1], part) if isinstance(part, str) and not last else None
        child = None if member else _child(types[-1], part)
        if child is None and not last:
            types[-1] = member or types[-1]
            continue
        path.append(part)
        types.append(child)
    return path, types


def _child(kind: Any, part: str | int) -> Any:
    """The type behind a key or an index of `kind`; None when it has no such key."""
    for option in _options(kind):
        if isinstance(option, type) and issubclass(option, BaseModel):
            field = option.model_fields.get(str(part))
            if field is not None:
                return field.annotation
        origin, arguments = get_origin(option), get_args(option)
        if isinstance(part, int) and origin in {list, tuple, set} and arguments:
            return arguments[0]
        if isinstance(part, str) and origin in {dict, Mapping} and arguments:
            return arguments[1]
    return None


def _options(kind: Any) -> Iterator[Any]:
    """Members of a union, or the type itself; Annotated is looked through."""
    origin = get_origin(kind)
    if origin is Annotated:
        yield from _options(get_args(kind)[0])
    elif origin in {Union, types.UnionType}:
        for member in get_args(kind):
            yield from _options(member)
    else:
        yield kind


def _models(kind: Any) -> list[type[BaseModel]]:
    return [option for option in _options(kind) if isinstance(option, type) and issubclass(option, BaseModel)]


def _member(kind: Any, tag: str) -> type[BaseModel] | None:
    """The member of a union that pydantic calls `tag`: by class name or by the value of its discriminator."""
    models = _models(kind)
    for model in models if len(models) > 1 else ():
        literals = (get_args(field.annotation) for field in model.model_fields.values() if _is_literal(field))
        if model.__name__ == tag or any(tag in values for values in literals):
            return model
    return None


def _is_literal(field: FieldInfo) -> bool:
    return get_origin(field.annotation) is Literal


def _field_names(kind: Any) -> list[str]:
    return [name for model in _models(kind) for name in model.model_fields]
