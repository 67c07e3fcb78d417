"""Beam search of one batch: what the teacher is asked, and which sources it can be asked for."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from data.errors import ModelError
from data.model_folder import Prompt
from stages.beam_search.config import Config
from stages.loaded_model.engine import Hypothesis, SearchOptions
from stages.loaded_model.model import TeacherModel
from stages.loaded_model.prompt import encode_sources
from stages.text.tokenizer import Tokenizer

__all__ = ["Hypothesis", "Search", "open_search"]


@dataclass(frozen=True)
class Search:
    """A teacher and how it searches. Several processes and threads may use one."""

    teacher: TeacherModel
    tokenizer: Tokenizer
    config: Config
    # Tokens of a prompt without its source; 0 without a prompt.
    template_tokens: int

    def encode(self, texts: Sequence[str]) -> list[list[str]]:
        """The tokens of each source as they are searched: all that are counted, in batches and as lengths."""
        return encode_sources(texts, self.tokenizer, self.teacher.info.prompt)

    def start(self, sources: Sequence[Sequence[str]]) -> Callable[[], list[list[Hypothesis]]]:
        """Begins the search of a batch and returns at once; the call that it returns waits for the n-best lists."""
        options = SearchOptions(
            beam_size=self.config.beam_size,
            num_hypotheses=self.config.num_hypotheses,
            length_penalty=self.config.length_penalty,
            longest_target=self.longest_target(),
            shortlist=self.config.shortlist > 0,
            disable_unk=self.config.disable_unk,
        )
        return self.teacher.engine.start(self.teacher.sources(sources), options)

    def takes(self, tokens: int) -> bool:
        """Whether a source of so many tokens is translated: it has some of its own, and not too many."""
        return self.template_tokens < tokens <= self.longest_source()

    def longest_source(self) -> int:
        """Tokens, its prompt counted, of the longest source that is translated."""
        wanted = self.config.max_source_tokens + self.template_tokens
        room = self.teacher.positions.longest_source(self.longest_target())
        return wanted if room is None else min(wanted, room)

    def longest_target(self) -> int:
        """Target tokens after which a hypothesis is cut off, its prefix counted."""
        positions = self.teacher.positions.target
        return min(self.config.max_decoding_length, positions or self.config.max_decoding_length)

    def is_cut_off(self, hypothesis: Hypothesis) -> bool:
        """Whether it ended because it was long enough, and not because the teacher ended it."""
        return len(hypothesis.tokens) + self.teacher.engine.prefix_tokens >= self.longest_target()


def open_search(teacher: TeacherModel, tokenizer: Tokenizer, config: Config) -> Search:
    """Raises ModelError when a prompt, or what is searched, is nothing that this teacher can be asked."""
    prompt = teacher.info.prompt
    search = Search(teacher, tokenizer, config, _template_tokens(tokenizer, prompt) if prompt else 0)
    if teacher.info.architecture == "encoder-decoder":
        return search
    if config.shortlist:
        raise ModelError("decode.shortlist: CTranslate2 has none for a decoder-only teacher; set it to 0")
    if search.longest_source() <= search.template_tokens:
        raise ModelError(
            f"decode.max_decoding_length: {search.longest_target()} tokens leave the teacher no positions for a source "
            f"in a prompt of {search.template_tokens}; lower it, or show fewer examples"
        )
    return search


def _template_tokens(tokenizer: Tokenizer, prompt: Prompt) -> int:
    """Tokens of a prompt that are none of its source: a space before that may be a part of its first."""
    return len(tokenizer.encode_prompts(prompt.before.rstrip(" "), [""], prompt.after)[0])
