"""What a recipe asks of a decoder-only teacher and only an encoder-decoder teacher can do."""

from collections.abc import Iterator, Mapping

from pydantic import BaseModel

from stages.beam_search.config import Config as Decoding
from stages.score import stage as score
from stages.student import stage as student
from stages.teacher import stage as teacher


def decoder_only_faults(configs: Mapping[str, BaseModel]) -> Iterator[str]:
    """A line for each, where the recipe itself says that its teacher is a language model."""
    given = configs.get("teacher")
    if not isinstance(given, teacher.Config) or not (given.architecture == "decoder-only" or given.prompt):
        return
    decoding, scoring, learner = (configs.get(name) for name in ("decode", "score", "student"))
    if isinstance(decoding, Decoding) and decoding.shortlist:
        yield "decode.shortlist: CTranslate2 has none for a decoder-only teacher; set it to 0"
    if isinstance(scoring, score.Config) and scoring.backend == "torch":
        yield (
            "score.backend: 'torch' scores no decoder-only teacher; set it to 'auto': through CTranslate2, too, it has "
            "all positions in one pass"
        )
    if isinstance(learner, student.Config) and any(each.needs_online_teacher() for _, _, each in learner.course()):
        yield (
            "student.objective: terms that need a teacher in memory compare the student with its encoder and decoder, "
            "and a decoder-only teacher has no encoder; leave them out"
        )
