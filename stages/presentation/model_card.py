"""The card of an exported model: what it is, how it was made, and five lines that use it."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class CardFacts:
    """What the card says. `sentencepiece`, `library` and `codes` tell which tokenizer files there are; without any,
    text is split on spaces."""

    source_language: str
    target_language: str
    parameters: int
    bytes: int
    quantization: str
    made_by: str
    on_references: bool
    steps: int | None
    sentencepiece: bool
    target_sentencepiece: bool
    libraries: Mapping[str, str]
    # Of a model of several language pairs: all of them, and the tokens before a source of the one named above.
    pairs: tuple[str, ...] = ()
    source_prefix: tuple[str, ...] = ()
    library: bool = False
    codes: bool = False
    # Whether it learned more of its teacher than the translations.
    soft_targets: bool = True

    def packages(self) -> str:
        """What its subwords need."""
        named = {"sentencepiece": self.sentencepiece, "tokenizers": self.library, "subword-nmt": self.codes}
        return "".join(f" {name}" for name, needed in named.items() if needed)


def language_name(tag: str) -> str:
    """The English name of a BCP-47 tag, or the tag itself where there is none."""
    from babel import Locale, UnknownLocaleError

    try:
        return Locale.parse(tag, sep="-").get_display_name("en") or tag
    except (UnknownLocaleError, ValueError):
        return tag


def direction_name(source_language: str, target_language: str) -> str:
    """English to German, of two tags."""
    return f"{language_name(source_language)} to {language_name(target_language)}"


def render_card(facts: CardFacts) -> str:
    """The card as Markdown, with the front matter that Hugging Face models use."""
    source, target = language_name(facts.source_language), language_name(facts.target_language)
    how = (
        "It was trained on the references of the corpus alone: the baseline that a distilled student is compared with."
        if facts.on_references
        else "It was distilled from a teacher: trained on the teacher's translations"
        f"{' and its soft targets' if facts.soft_targets else ''}."
    )
    steps = f" for {facts.steps:,} steps" if facts.steps is not None else ""
    libraries = ", ".join(f"{name} {version}" for name, version in sorted(facts.libraries.items()))
    return f"""---
language: ["{facts.source_language}", "{facts.target_language}"]
library_name: ctranslate2
pipeline_tag: translation
---

# {source} to {target}

A translation model of {facts.parameters:,} parameters in {facts.bytes / 1e6:.1f} MB ({facts.quantization}),
tokenizer included. It translates sentences from {source} ({facts.source_language}) to {target}
({facts.target_language}).{_others(facts)}

{how} OpenNMT-py trained it{steps}; Potstill made the folder from its artefact `{facts.made_by}`{_with(libraries)}.

## Use

In this folder, with `pip install ctranslate2{facts.packages()}`, one sentence a line \
from standard input:

```python
{_snippet(facts)}
```

Potstill does the same with beams, threads and streaming: `potstill translate .{_said(facts)} < text`.

The model saw single sentences of the kind its corpus holds; on other text expect less. Numbers on quality and speed
are in the report of the run that made it.
"""


def _others(facts: CardFacts) -> str:
    if not facts.pairs:
        return ""
    return f"\nIt has learned {', '.join(facts.pairs)}, and is told the direction by a token before the source."


def _said(facts: CardFacts) -> str:
    return f" --from {facts.source_language} --to {facts.target_language}" if facts.pairs else ""


def _with(libraries: str) -> str:
    return f" ({libraries})" if libraries else ""


def _snippet(facts: CardFacts) -> str:
    """Five lines, whichever tokenizer the model has."""
    before = f"{list(facts.source_prefix)!r} + " if facts.source_prefix else ""
    if facts.library:
        return f"""\
import sys, ctranslate2, tokenizers
tokenizer = tokenizers.Tokenizer.from_file("subwords.json")
tokens = [{before}tokenizer.encode(line.strip(), add_special_tokens=False).tokens for line in sys.stdin]
for result in ctranslate2.Translator(".").translate_batch(tokens, beam_size=1, max_batch_size=32):
    print(tokenizer.decode([i for i in map(tokenizer.token_to_id, result.hypotheses[0]) if i is not None]).strip())"""
    if facts.codes:
        return f"""\
import sys, ctranslate2, subword_nmt.apply_bpe
codes = subword_nmt.apply_bpe.BPE(open("source.codes", encoding="utf-8"))
tokens = [{before}codes.process_line(line.strip()).split() for line in sys.stdin]
for result in ctranslate2.Translator(".").translate_batch(tokens, beam_size=1, max_batch_size=32):
    print((" ".join(result.hypotheses[0]) + " ").replace("@@ ", "").strip())"""
    if not facts.sentencepiece:
        return f"""\
import sys, ctranslate2
translator = ctranslate2.Translator(".", inter_threads=2, intra_threads=1)
tokens = [{before}line.split() for line in sys.stdin]
for result in translator.translate_batch(tokens, beam_size=1, max_batch_size=32):
    print(" ".join(result.hypotheses[0]))"""
    load = 'sentencepiece.SentencePieceProcessor(model_file="source.spm")'
    decoder = "tokenizer"
    name = "tokenizer"
    if facts.target_sentencepiece:
        name, decoder = "tokenizer, target_tokenizer", "target_tokenizer"
        load = '(sentencepiece.SentencePieceProcessor(model_file=f"{side}.spm") for side in ("source", "target"))'
    return f"""\
import sys, ctranslate2, sentencepiece
{name} = {load}
tokens = [{before}tokenizer.encode(line.strip(), out_type=str) for line in sys.stdin]
for result in ctranslate2.Translator(".").translate_batch(tokens, beam_size=1, max_batch_size=32):
    print({decoder}.decode(result.hypotheses[0]))"""
