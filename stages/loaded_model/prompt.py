"""How a language model is asked for translations: a template, examples, and where its answer ends."""

import re
from collections.abc import Sequence
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from data.model_folder import Prompt
from stages.text.tokenizer import Tokenizer

_PLACEHOLDER = re.compile(r"\{(\w+)\}")
# What a chat template is given anyway.
_FILLED_IN = {"messages", "add_generation_prompt", "tools", "documents", "bos_token", "eos_token"}
_LANGUAGES = ("source_language", "target_language")


class Example(BaseModel):
    """A source with its translation, to be shown to the model before it is asked."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    source: str = Field(description="source text of the example", min_length=1)
    target: str = Field(description="its translation", min_length=1)


class PromptConfig(BaseModel):
    """A prompt: the examples, each filled into the template and followed by its target, then the source alone."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    template: str = Field(
        "{source_language}: {source}\n{target_language}: ",
        description="text around a source; {source}, {source_language} and {target_language} are filled in; spaces at "
        "its end stand before an example's target, and where the model is asked they are left to it, as subwords begin "
        "with their space",
    )
    chat: bool = Field(
        False,
        description="the template is a user's message, which the model's own chat template goes around; examples are "
        "earlier turns, and a translation ends where that template ends an answer",
    )
    system: str | None = Field(None, description="chat: the system's message, where the model takes one")
    variables: dict[str, bool | int | float | str] = Field(
        default_factory=dict,
        description="chat: what else the model's template asks for, such as {enable_thinking = false} of Qwen 3",
    )
    source_language: str | None = Field(None, description="what the template calls the source language, e.g. English")
    target_language: str | None = Field(None, description="likewise, the target language")
    examples: list[Example] = Field(default_factory=list, description="translations that are shown first")
    separator: str = Field("\n", description="text between an example and what follows it")
    end_token: str = Field(
        "", description="token that ends a translation, e.g. <0x0A>, a line break; by default the model's </s>"
    )

    @model_validator(mode="after")
    def _is_complete(self) -> Self:
        if self.system is not None and not self.chat:
            raise ValueError("system: is a message of a chat; set chat = true, or leave it out")
        if self.variables and not self.chat:
            raise ValueError("variables: are of a chat template; set chat = true, or leave them out")
        if taken := sorted(self.variables.keys() & _FILLED_IN):
            raise ValueError(f"variables: {taken[0]} is filled in by itself; leave it out")
        if self.chat and "separator" in self.model_fields_set:
            raise ValueError("separator: examples are turns of a chat; leave it out")
        found = _PLACEHOLDER.findall(self.template)
        if found.count("source") != 1:
            raise ValueError(f"template: has {{source}} {found.count('source')} times; expected it once")
        if not self.template.replace("{source}", "").strip():
            raise ValueError("template: is the source alone; expected text that asks for its translation")
        if unknown := sorted(set(found) - {"source", *_LANGUAGES}):
            known = ", ".join(f"{{{name}}}" for name in ("source", *_LANGUAGES))
            raise ValueError(f"template: {{{unknown[0]}}} is nothing that is filled in; known: {known}")
        for name in _LANGUAGES:
            if (name in found) != (getattr(self, name) is not None):
                advice = "set it" if name in found else "leave it out"
                raise ValueError(f"{name}: the template {'names' if name in found else 'does not name'} it; {advice}")
        return self

    def render(self) -> Prompt:
        """The text before and after a source, examples and languages filled in."""
        before, after = self._around()
        shown = [f"{before}{example.source}{after}{example.target}{self.separator}" for example in self.examples]
        return Prompt(before="".join([*shown, before]), after=after.rstrip(" "))

    def message(self, source: str) -> str:
        """What a user says in a chat to have a source translated."""
        before, after = self._around()
        return f"{before}{source}{after}"

    def _around(self) -> tuple[str, str]:
        """What is filled in may itself hold braces, so the template is taken apart first."""
        template = self.template
        for name in _LANGUAGES:
            template = template.replace(f"{{{name}}}", getattr(self, name) or "")
        before, after = template.split("{source}")
        return before, after


def encode_sources(texts: Sequence[str], tokenizer: Tokenizer, prompt: Prompt | None) -> list[list[str]]:
    """Subwords of each source; with a prompt, of the whole of it, so that the model reads what it would read as text.

    All who ask a teacher tokenise here: what is scored is what was decoded.
    """
    if prompt is None:
        return tokenizer.encode_source(texts)
    return tokenizer.encode_prompts(prompt.before, texts, prompt.after)
