"""The online terms of an objective, with the names they have in the recipe and in training.jsonl."""

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from stages.training.online.config import AttentionTerm, ContrastiveTerm, SentenceTerm, Term

if TYPE_CHECKING:
    from stages.training.objective.config import ObjectiveConfig

# What a mean is over: positions of the sources, those of the targets, or batches.
Over = Literal["encoder", "decoder", "batch"]


@dataclass(frozen=True)
class NamedTerm:
    """A term, its key below the objective (`features[0]`) and its name in the curves (`features_encoder`)."""

    key: str
    name: str
    term: Term

    @property
    def over(self) -> Over:
        """What the term is a mean over; relations between sentences are within a batch."""
        return "batch" if isinstance(self.term, SentenceTerm | ContrastiveTerm) else self.term.stack


def named_terms(objective: "ObjectiveConfig") -> list[NamedTerm]:
    """All online terms in the order of the recipe; a name that comes again gets a number."""
    lists: dict[str, tuple[Term, ...]] = {
        "features": objective.features,
        "attention": objective.attention,
        "relations": objective.relations,
        "sentences": objective.sentences,
        "contrastive": objective.contrastive,
    }
    found: list[NamedTerm] = []
    used: Counter[str] = Counter()
    for section, terms in lists.items():
        for index, term in enumerate(terms):
            name = f"{section}_{_what(term)}"
            used[name] += 1
            number = f"_{used[name]}" if used[name] > 1 else ""
            found.append(NamedTerm(f"{section}[{index}]", name + number, term))
    return found


def _what(term: Term) -> str:
    if isinstance(term, AttentionTerm):
        return term.kind
    return f"{term.stack}_{term.relation}" if isinstance(term, SentenceTerm) else term.stack
