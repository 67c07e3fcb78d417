"""docs/recipes.md, made from the configs themselves: `python -m pipeline.recipe.reference > docs/recipes.md`."""

import importlib
import json
import sys
import types
import typing
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal, Union

from annotated_types import Ge, Gt, Le, Lt
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from data.teachers import FIRST
from pipeline.recipe.graph import STAGES
from pipeline.recipe.recipe import RunConfig
from pipeline.recipe.teachers import SECTION, Beside
from pipeline.recipe.tune_config import TuneConfig
from stages.fuse.stage import Options
from stages.given.config import Config as GivenTeacher
from stages.training.schedules import Schedule

_HEAD = """# Recipe keys

A recipe is one TOML file with a section for each stage; a section that is left out takes its defaults. `[corpus]` and
`[teacher]` are required; `[student_tokenizer]`, `[baseline]`, `[teachers.NAME]` and `[tune]` are for what there is only
where a recipe has them, and `[fuse]` is for several teachers. Paths are relative to the folder in which `potstill` is
started. Unknown keys are faults, and all faults are told at once. `--set section.key=value` overrides a key from the
command line. `[baseline]` takes the keys of `[student]`, laid over what `[student]` says, with `data = "reference"`;
`objective`, `phases`, `start` and `datasets`, which are about a teacher, it does not take over.
Defaults are written as in a recipe; a key whose default is none is not set.

This page is made from the code by `make docs`.
"""
_FURTHER = (
    "A further teacher, as many as there are such sections, each with a name of its own: the keys of `[teacher]`, and "
    "these. All decode the corpus with the same `[decode]`; of all hypotheses of a row `[select]` takes the best."
)
_BOUNDS = {Ge: (">=", "ge"), Gt: (">", "gt"), Le: ("<=", "le"), Lt: ("<", "lt")}


def reference() -> str:
    """The page, in Markdown: a table of keys for every section and every table below it."""
    parts = [_HEAD, *_section("run", RunConfig, {})]
    for entry in STAGES:
        if not entry.section:
            parts += _section(entry.node, importlib.import_module(entry.module).Config, {})
        if entry.node == FIRST:
            parts += _section(FIRST, GivenTeacher, {}, kind=_kind_of(GivenTeacher))
    parts += [f"\n## `[{SECTION}.NAME]`\n\n{_FURTHER}\n", *_keys(Beside), *_section("fuse", Options, {})]
    parts += _section("tune", TuneConfig, {})
    parts += [f"\n## Schedules\n\n{_first_line(Schedule)}\n", *_keys(Schedule)]
    return "\n".join(parts)


def _section(
    name: str, model: type[BaseModel], shown: dict[type[BaseModel], str], *, many: bool = False, kind: str = ""
) -> Iterator[str]:
    """The keys of a model, or where those are, and all below it; `kind` tells a heading from others of its name."""
    heading = f"[[{name}]]" if many else f"[{name}]"
    yield f"\n## `{heading}`{kind}\n"
    if model in shown:
        yield f"The keys of `{shown[model]}`."
        return
    shown[model] = heading
    yield f"{_first_line(model)}\n"
    yield from _keys(model)
    for key, field in model.model_fields.items():
        below, repeated = _models(field.annotation)
        named = typing.get_origin(field.annotation) is dict
        place = f"{name}.{key}.NAME" if named else f"{name}.{key}"
        # What is shown of all of them is told once.
        for each in below[:1] if shown.keys() >= set(below) else below:
            told = _kind_of(each) if each not in shown and len(below) > 1 else ""
            yield from _section(place, each, shown, many=repeated and not named, kind=told)


def _kind_of(model: type[BaseModel]) -> str:
    """What the heading of one of several models says of it, which also makes its anchor one of its own."""
    return f" with `kind = {_toml(typing.get_args(model.model_fields['kind'].annotation)[0])}`"


def _keys(model: type[BaseModel]) -> Iterator[str]:
    yield "| key | value | default | meaning |\n|---|---|---|---|"
    for key, field in model.model_fields.items():
        yield f"| `{key}` | {_cell(_kind(field))} | {_cell(_default(field))} | {_cell(field.description or '')} |"


def _first_line(model: type[BaseModel]) -> str:
    return (model.__doc__ or "").strip().split("\n\n")[0].replace("\n", " ")


def _models(annotation: Any) -> tuple[list[type[BaseModel]], bool]:
    """The models that a value of this type is made of, and whether there may be many; a schedule stands apart."""
    if annotation is Schedule:
        return [], False
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation], False
    found: list[type[BaseModel]] = []
    repeated = typing.get_origin(annotation) in (list, tuple, dict)
    for argument in typing.get_args(annotation):
        models, deeper = _models(argument)
        found += [model for model in models if model not in found]
        repeated |= deeper
    return found, repeated


def _kind(field: FieldInfo) -> str:
    bounds = [
        f"{sign} {getattr(bound, name)}"
        for bound in field.metadata
        for kind, (sign, name) in _BOUNDS.items()
        if isinstance(bound, kind)
    ]
    return ", ".join([_type_name(field.annotation), *bounds])


def _type_name(annotation: Any) -> str:
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is Literal:
        return " or ".join(f"`{_toml(value)}`" for value in arguments)
    if origin is Annotated:
        return _type_name(arguments[0])
    if origin in (Union, types.UnionType):
        names = [_type_name(argument) for argument in arguments if argument is not type(None)]
        return " or ".join(dict.fromkeys(names))
    if annotation is Schedule:
        return "[schedule](#schedules)"
    if origin in (list, tuple):
        return f"list of {_type_name(arguments[0])}"
    if origin is dict:
        return f"table of {_type_name(arguments[1])}"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "table, see below"
    return {str: "text", int: "whole number", float: "number", bool: "true or false"}.get(annotation, "any")


def _default(field: FieldInfo) -> str:
    """As a recipe would say it; a table has only what differs from the defaults of its own keys."""
    if field.is_required():
        return "required"
    default = field.get_default(call_default_factory=True)
    return "none" if default is None else f"`{_toml(default)}`"


def _toml(value: Any) -> str:
    """A value of a recipe, on one line."""
    if isinstance(value, BaseModel):
        return _toml(value.model_dump(exclude_defaults=True, exclude_none=True))
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{key} = {_toml(each)}' for key, each in value.items())}}}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_toml, value))}]"
    # Texts, numbers and truth values are written as in JSON.
    return json.dumps(value, ensure_ascii=False)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


if __name__ == "__main__":
    sys.stdout.write(reference())
