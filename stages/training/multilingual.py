"""Several language pairs in one student: its tags, how its rows are told apart, and how good the teacher is at each."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from data.artifact import Artifact
from data.errors import DataError
from data.language_tags import Direction
from data.model_folder import load_teacher_info
from data.runtime import Runtime
from data.teachers import FIRST, teacher_nodes
from stages.languages.directions import COLUMNS, directions_of, grouped
from stages.languages.writing import bleu_tokenizer
from stages.text.tokenizer import Tokenizer
from stages.training.batches.pairs import PairedStreams, Tagging, by_pair
from stages.training.languages_config import LanguagesConfig, StopConfig
from stages.training.row_counts import by_direction, corpus_rows

if TYPE_CHECKING:
    from stages.training.api import TrainingData
    from stages.training.stopping import PairSwitch

_TEXT = ("source", "reference")


@dataclass(frozen=True)
class Languages:
    """What a corpus of several pairs makes of a training; `names` are those of the languages with a tag."""

    config: LanguagesConfig
    tagging: Tagging

    @classmethod
    def of(
        cls, config: LanguagesConfig, corpus: Artifact, pairs: Sequence[str] = (), also: Iterable[Direction] = ()
    ) -> "Languages":
        """Of the pairs in the train split and of some `also`, or of those of them that are named."""
        found = {*by_direction(corpus_rows(corpus)), *also}
        kept = [direction for direction in found if not pairs or str(direction) in pairs]
        return cls(config, Tagging.of(config, kept))

    def vocabulary(self, tokens: Sequence[str]) -> list[str]:
        """The tokens of a model, with all tags after them; both sides get them, so that equal sides stay equal."""
        return [*tokens, *self.tagging.tokens()]

    def take_apart(self, data: "TrainingData", *, apart: bool = False) -> "tuple[TrainingData, PairedStreams]":
        """Streams that know their rows' pairs; raises DataError when there is nothing to train on.

        `apart`: batches are of one pair each, as those of the valid split are anyway.
        """
        from stages.training.api import TrainingData

        paired = by_pair(data.streams, self.tagging, self.config.sampling_temperature, apart=apart)
        if empty := [name for name, rows in paired.rows.items() if not rows]:
            raise DataError(f"no row of {', '.join(empty)} has a target: there is nothing to train on")
        valid = by_pair(data.valid, self.tagging, apart=True).streams
        return TrainingData(paired.streams, valid), paired

    def described(self, paired: PairedStreams) -> dict[str, Any]:
        """For the metrics, and for whoever asks the model: templates, names, and the rows of each pair it learned."""
        rows: dict[str, int] = {}
        for found in paired.rows.values():
            for direction, count in found.items():
                rows[str(direction)] = max(count, rows.get(str(direction), 0))
        return {
            "source_prefix": list(self.tagging.templates),
            "language_names": dict(self.tagging.names),
            "pairs": dict(sorted(rows.items())),
        }


def bleu_tokenizer_of(corpus: Artifact) -> str:
    """How sacrebleu takes the valid split's target language apart; 13a for several that are taken apart differently."""
    tags = {tag for table in corpus.tables("valid-", COLUMNS[1:]) for tag in table[COLUMNS[1]].unique().to_pylist()}
    found = {bleu_tokenizer(tag) for tag in tags}
    return found.pop() if len(found) == 1 else "13a"


def pair_switch(
    stops: StopConfig | None,
    inputs: Mapping[str, Artifact],
    tokenizer: Tokenizer,
    longest: int,
    untaught: Collection[str],
    runtime: Runtime,
    valid: Iterable[pa.Table] = (),
) -> "PairSwitch":
    """What tells of each pair's validation, and, where that is asked for, stops distilling it.

    `untaught`: streams without soft targets, which never are distilled. `longest`: rows with more tokens on a side than
    the student is validated on are left out. `valid`: the rows that the student is validated on.
    """
    from stages.training.stopping import PairSwitch

    if stops is None:
        return PairSwitch({}, untaught=untaught)
    # Where subwords are others, so are positions, and their cross-entropy is not to be compared.
    digest = load_teacher_info(inputs[FIRST].path()).vocabulary_digest
    folders = [inputs[node].path() for node in teacher_nodes(inputs).values()]
    alike = [folder for folder in folders if load_teacher_info(folder).vocabulary_digest == digest]
    known = teacher_cross_entropy(alike, valid, tokenizer, longest, runtime)
    return PairSwitch(known, stops.margin, untaught)


def teacher_cross_entropy(
    teachers: Sequence[Path], valid: Iterable[pa.Table], tokenizer: Tokenizer, longest: int, runtime: Runtime
) -> dict[str, float]:
    """In nats a token, </s> counted, on the references of these rows, by the pairs that a teacher is for.

    Of several teachers for a pair the best counts. Raises ModelError when one cannot be loaded or forced.
    """
    from stages.training.reference_cross_entropy import cross_entropy

    tables = [table.select([*_TEXT, *COLUMNS]) for table in valid]
    if not tables:
        return {}
    table = pa.concat_tables(tables)
    table = table.filter(pc.is_valid(table["reference"]))
    pairs = {direction: table.take(rows) for direction, rows in grouped(directions_of(table))}
    found: dict[str, float] = {}
    for folder in teachers:
        served = {pair: rows for pair, rows in pairs.items() if load_teacher_info(folder).translates(str(pair))}
        for pair, value in cross_entropy(folder, served, tokenizer, longest, runtime).items():
            found[str(pair)] = min(value, found.get(str(pair), value))
    return found
