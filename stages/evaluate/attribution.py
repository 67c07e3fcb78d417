"""Where quality goes on the way from the teacher's beam to the student that ships, one step after the other."""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data.artifact import Artifact
from data.language_tags import Direction
from data.model_folder import CHECKPOINT_FILE, load_teacher_info, save_teacher_info
from data.runtime import Runtime
from stages.beam_search.batches import Batches
from stages.beam_search.config import Config as Decoding
from stages.beam_search.search import Search, open_search
from stages.evaluate.quality import Scoring, compare_systems, score_systems
from stages.languages.directions import ANY, by_direction
from stages.languages.writing import bleu_tokenizer
from stages.loaded_model.conversion import convert_checkpoint
from stages.loaded_model.model import load_teacher
from stages.text.tokenizer import load_tokenizer
from stages.text.utility import Array, sentence_bleu, utilities

if TYPE_CHECKING:
    from sacrebleu import BLEU

# What it reads beside the evaluation's own inputs.
INPUTS = ("decode", "select", "student")
# In the order in which quality goes from one to the next.
STEPS = ("teacher", "selected", "student_float32", "student")
EXACT = "float32"
_SCORES = ("chrf", "chrf_interval", "bleu", "bleu_interval")


def selected_hypotheses(
    inputs: Mapping[str, Artifact],
    sources: Sequence[str],
    references: Sequence[str],
    batch_tokens: int,
    run: Runtime,
    directions: Sequence[Direction] = (),
) -> list[str] | None:
    """What the student would be trained on for these sources: decode's n-best lists, and select's choice of each.

    `directions`: of each source, for a teacher with language tags. None where select takes the reference itself, or a
    file's word for each hypothesis. A shortlist of decode is not used. Raises ModelError when the teacher cannot be
    loaded or asked.
    """
    chosen_by = inputs["select"].manifest().config
    metric = chosen_by["metric"]
    if metric == "reference" or metric.startswith("column:"):
        return None
    decoding = Decoding.model_validate(inputs["decode"].manifest().config).model_copy(update={"shortlist": 0})
    teacher = load_teacher(inputs["teacher"].path(), run, spread=True)
    tokenizer = load_tokenizer(inputs["tokenizer"].path())
    found: list[list[tuple[str, float]]] = [[("", 0.0)]] * len(sources)
    for direction, rows in by_direction(teacher.info, directions or [ANY] * len(sources)):
        search = open_search(teacher.toward(direction), tokenizer, decoding)
        for row, nbest in zip(rows, _nbest(search, [sources[row] for row in rows], batch_tokens), strict=True):
            found[row] = nbest
    texts = [[text for text, _ in row] for row in found]
    if metric == "score":
        return [row[0] for row in texts]
    bleu = _bleu(chosen_by["bleu_tokenizer"], directions, len(texts)) if metric == "bleu" else []
    worth = utilities(metric, texts, references, bleu)
    return [_best(row, values) for row, values in zip(found, worth, strict=True)]


@contextmanager
def float32_folder(student: Artifact, exported: Path) -> Iterator[Path]:
    """The exported student as it was before its weights were rounded, in a folder that goes with the context.

    Raises ModelError when the checkpoint cannot be converted.
    """
    info = load_teacher_info(exported)
    with tempfile.TemporaryDirectory(prefix="potstill-float32-") as scratch:
        folder = Path(scratch) / "model"
        convert_checkpoint(student.path() / CHECKPOINT_FILE, folder, quantization=EXACT)
        save_teacher_info(folder, info.model_copy(update={"quantization": EXACT}))
        yield folder


def describe_choice(inputs: Mapping[str, Artifact]) -> dict[str, Any]:
    """How the selected hypotheses came about: `metric` of select, `hypotheses` and `beam` of decode."""
    decoding = Decoding.model_validate(inputs["decode"].manifest().config)
    metric = inputs["select"].manifest().config["metric"]
    return {"metric": metric, "hypotheses": decoding.num_hypotheses, "beam": decoding.beam_size}


def attribute_gap(
    translated: Mapping[str, Sequence[str]],
    references: Sequence[str],
    systems: Mapping[str, Mapping[str, Any]],
    scoring: Scoring,
) -> list[dict[str, Any]]:
    """Of each step that was translated, in order: `name`, chrF and BLEU with intervals, and `change`.

    `systems` are the scores of those that have some already. `change`, None for the first, is against the step before,
    as `compare_systems` has it; the differences add up to the whole gap.
    """
    steps = [step for step in STEPS if step in translated]
    fresh = score_systems({step: translated[step] for step in steps if step not in systems}, references, scoring)
    pairs = [(after, before) for before, after in pairwise(steps)]
    changes = {row["system"]: row for row in compare_systems(translated, references, pairs, scoring)}
    scores = {**systems, **fresh}
    return [
        {"name": step, **{key: scores[step][key] for key in _SCORES}, "change": changes.get(step)} for step in steps
    ]


def _nbest(search: Search, sources: Sequence[str], batch_tokens: int) -> list[list[tuple[str, float]]]:
    """Texts and scores of each source's hypotheses, best first; one empty text where the teacher cannot be asked."""
    tokens = search.encode(sources)
    sizes = [(len(row),) for row in tokens]
    asked = [row for row, (size,) in enumerate(sizes) if search.takes(size)]
    found = [[("", 0.0)] for _ in sources]
    for rows, lists in Batches(asked, sizes, batch_tokens, lambda rows: search.start([tokens[row] for row in rows])):
        for row, hypotheses in zip(rows, lists, strict=True):
            texts = search.tokenizer.decode_target([one.tokens for one in hypotheses])
            found[row] = list(zip(texts, [one.score for one in hypotheses], strict=True))
    return found


def _bleu(tokenizer: str, directions: Sequence[Direction], rows: int) -> "list[BLEU]":
    """What each row's BLEU is measured with, as select has it."""
    names = (
        [bleu_tokenizer(direction.target) for direction in directions] if tokenizer == "auto" else [tokenizer] * rows
    )
    built = {name: sentence_bleu(name) for name in set(names)}
    return [built[name] for name in names]


def _best(hypotheses: Sequence[tuple[str, float]], worth: Array) -> str:
    """As select has it: on a tie the higher teacher's score wins, then the earlier hypothesis."""
    order = sorted(range(len(hypotheses)), key=lambda place: (-worth[place], -hypotheses[place][1], place))
    return hypotheses[order[0]][0]
