"""A chat template rendered by itself: a program of its own, since a stranger's template is one, too.

Reads {"template": ..., "variables": {...}} and writes {"text": ...} or {"error": ...}, all JSON. jinja2's sandbox keeps
a template from Python; nothing in it keeps one from a loop without end or a text of ten gigabytes.
"""

import json
import sys
from typing import Any, NoReturn

SECONDS, MEMORY_BYTES, CHARACTERS = 10, 1 << 30, 1 << 20
# What a template takes for today: what a model is asked must not hang on when it is asked.
DAY = (2024, 7, 26)


def render(template: str, variables: dict[str, Any]) -> str:
    """As transformers renders it, but for the day; raises what the template does."""
    from jinja2 import TemplateError

    parts, length = [], 0
    for part in _environment().from_string(template).generate(**variables):
        parts.append(part)
        length += len(part)
        if length > CHARACTERS:
            raise TemplateError(f"it renders more than {CHARACTERS} characters")
    return "".join(parts)


def _environment() -> Any:
    from datetime import datetime

    from jinja2 import TemplateError, nodes
    from jinja2.ext import Extension
    from jinja2.parser import Parser
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    class Generation(Extension):
        """`{% generation %}` says what the assistant wrote, and changes nothing."""

        tags = {"generation"}  # noqa: RUF012 as jinja2 wants it

        def parse(self, parser: Parser) -> list[nodes.Node]:
            next(parser.stream)
            return parser.parse_statements(("name:endgeneration",), drop_needle=True)

    def refuse(reason: str) -> NoReturn:
        raise TemplateError(reason)

    def tojson(value: Any, ensure_ascii: bool = False, **options: Any) -> str:
        return json.dumps(value, ensure_ascii=ensure_ascii, **options)

    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols", Generation], autoescape=False
    )
    environment.globals["raise_exception"] = refuse
    environment.globals["strftime_now"] = datetime(*DAY).strftime
    environment.filters["tojson"] = tojson
    return environment


def _main() -> None:
    import resource

    given = json.load(sys.stdin)
    _environment()  # all that is imported, before memory is bounded
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    try:
        found = {"text": render(given["template"], given["variables"])}
    except MemoryError:
        found = {"error": f"it needs more than {MEMORY_BYTES >> 20} MiB of memory"}
    except Exception as error:  # a template raises whatever it calls for
        found = {"error": f"{type(error).__name__}: {error}"[:2000]}
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    _main()
