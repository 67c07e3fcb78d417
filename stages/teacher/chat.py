"""An instruction model asked as it was taught to be: in its own chat template, which is a Jinja text."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from data.errors import ModelError
from data.model_folder import Prompt
from stages.loaded_model.prompt import PromptConfig
from stages.text.marks import split_at

# The template, and the tokens that it may name.
CHAT = "chat.json"
# What stands for a text while a template is rendered: nothing that a template would change.
_SOURCE, _ANSWER = "\ue000source\ue001", "\ue000answer\ue001"
_LONGEST = 1 << 20


def chat_prompt(folder: Path, asked: PromptConfig, marks: Sequence[str]) -> tuple[Prompt, str]:
    """The text before and after a source, and the special token that ends an answer, empty where there is none.

    A source is filled in when all is rendered, and so is never read as a template. Raises ModelError when the model's
    folder has no template, or one that cannot be rendered.
    """
    told = read_chat(folder)
    turns = _turns(asked)
    before, after = _split(_render(told, turns, ask=True), _SOURCE)
    whole = _render(told, [*turns, {"role": "assistant", "content": _ANSWER}], ask=False)
    follows = _split(whole, _ANSWER)[1]
    end = next((part for part, special in split_at(follows, marks) if special), "")
    return Prompt(before=before, after=after), end


def read_chat(folder: Path) -> dict[str, Any]:
    """The template with its tokens; raises ModelError when there is none."""
    if (folder / CHAT).is_file():
        told: dict[str, Any] = json.loads((folder / CHAT).read_bytes())
        return told
    config, own = folder / "tokenizer_config.json", folder / "chat_template.jinja"
    content = json.loads(config.read_bytes()) if config.is_file() else {}
    template = own.read_text(encoding="utf-8") if own.is_file() else content.get("chat_template")
    if not isinstance(template, str):
        raise ModelError(
            "teacher.prompt.chat: this model has no chat template (chat_template in its tokenizer_config.json, or a "
            "chat_template.jinja beside it): it is no instruction model, or comes without; leave chat out, and spell "
            "the whole prompt in template"
        )
    return {"template": template, **{name: _spelled(content.get(name)) for name in ("bos_token", "eos_token")}}


def _spelled(token: Any) -> str:
    """A token as a tokenizer's configuration has it: its text, or a table with it."""
    return str(token.get("content", "") if isinstance(token, Mapping) else token or "")


def _turns(asked: PromptConfig) -> list[dict[str, str]]:
    turns = [{"role": "system", "content": asked.system}] if asked.system else []
    for example in asked.examples:
        turns += [
            {"role": "user", "content": asked.message(example.source)},
            {"role": "assistant", "content": example.target},
        ]
    return [*turns, {"role": "user", "content": asked.message(_SOURCE)}]


def _render(told: Mapping[str, Any], turns: Sequence[Mapping[str, str]], *, ask: bool) -> str:
    """As transformers renders it; in a sandbox, since it is a stranger's program."""
    from jinja2 import TemplateError
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    def refuse(reason: str) -> NoReturn:
        raise TemplateError(reason)

    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"], autoescape=False
    )
    environment.globals["raise_exception"] = refuse
    environment.filters["tojson"] = lambda value, **options: json.dumps(value, ensure_ascii=False)
    tokens = {name: told.get(name) or "" for name in ("bos_token", "eos_token")}
    try:
        parts, length = [], 0
        for part in environment.from_string(told["template"]).generate(
            messages=[dict(turn) for turn in turns], add_generation_prompt=ask, tools=None, documents=None, **tokens
        ):
            parts.append(part)
            length += len(part)
            if length > _LONGEST:
                raise TemplateError(f"it renders more than {_LONGEST} characters")
    except (TemplateError, TypeError, ValueError, KeyError, AttributeError, RecursionError) as error:
        raise ModelError(
            f"teacher.prompt.chat: the model's chat template cannot be rendered with these turns: {error}; leave out "
            "teacher.prompt.system if it takes none, or leave chat out and spell the whole prompt in template"
        ) from error
    return "".join(parts)


def _split(text: str, mark: str) -> tuple[str, str]:
    parts = text.split(mark)
    if len(parts) != 2:
        raise ModelError(
            f"teacher.prompt.chat: the model's chat template has a message {len(parts) - 1} times; expected it once: "
            "leave chat out, and spell the whole prompt in template"
        )
    return parts[0], parts[1]
