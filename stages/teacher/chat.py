"""An instruction model asked as it was taught to be: in its own chat template, which is a Jinja text."""

import json
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from data.errors import ModelError
from data.model_folder import Prompt
from stages.loaded_model.prompt import PromptConfig
from stages.teacher import rendering
from stages.text.marks import split_at

# The template, and the tokens that it may name.
CHAT = "chat.json"
# What stands for a text while a template is rendered: nothing that a template would change.
_SOURCE, _ANSWER = "\ue000source\ue001", "\ue000answer\ue001"
# Seconds until a template is given up, whatever else the machine does.
_PATIENCE = 120


def chat_prompt(folder: Path, asked: PromptConfig, marks: Sequence[str]) -> tuple[Prompt, str]:
    """The text before and after a source, and the special token that ends an answer, empty where there is none.

    A source is filled in when all is rendered, and so is never read as a template. Raises ModelError when the model's
    folder has no template, or one that cannot be rendered.
    """
    told = read_chat(folder)
    turns = _turns(asked)
    before, after = _split(_render(told, turns, asked.variables, ask=True), _SOURCE)
    whole = _render(told, [*turns, {"role": "assistant", "content": _ANSWER}], asked.variables, ask=False)
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


def _render(told: Mapping[str, Any], turns: Sequence[Mapping[str, str]], more: Mapping[str, Any], *, ask: bool) -> str:
    """As transformers renders it, but within bounds of time and memory, and on a day that is always the same."""
    tokens = {name: told.get(name) or "" for name in ("bos_token", "eos_token")}
    asked = {"messages": [dict(turn) for turn in turns], "add_generation_prompt": ask, "tools": None, "documents": None}
    given = json.dumps({"template": told["template"], "variables": {**more, **asked, **tokens}})
    # -P: what lies beside the program is no module that it means.
    command = [sys.executable, "-P", rendering.__file__]
    try:
        done = subprocess.run(  # noqa: S603 (our own command)
            command, input=given, capture_output=True, text=True, timeout=_PATIENCE, check=False
        )
        found = json.loads(done.stdout) if done.returncode == 0 else {"error": _death(done)}
    except subprocess.TimeoutExpired:
        found = {"error": f"it takes more than {_PATIENCE} s"}
    if "error" in found:
        raise ModelError(
            f"teacher.prompt.chat: the model's chat template cannot be rendered with these turns: {found['error']}; "
            "leave out teacher.prompt.system if it takes none, set in teacher.prompt.variables what it asks for, or "
            "leave chat out and spell the whole prompt in template"
        )
    return str(found["text"])


def _death(done: "subprocess.CompletedProcess[str]") -> str:
    """Why the program ended without an answer."""
    if done.returncode in (-signal.SIGXCPU, -signal.SIGKILL):
        return f"it takes more than {rendering.SECONDS} s of a processor"
    return f"the program that renders it ended with {done.returncode}: {done.stderr.strip()[-500:]}"


def _split(text: str, mark: str) -> tuple[str, str]:
    parts = text.split(mark)
    if len(parts) != 2:
        raise ModelError(
            f"teacher.prompt.chat: the model's chat template has a message {len(parts) - 1} times; expected it once: "
            "leave chat out, and spell the whole prompt in template"
        )
    return parts[0], parts[1]
