"""What needs a teacher's OpenNMT-py checkpoint to score: does every teacher come with one?"""

from collections.abc import Iterator, Mapping

from pydantic import BaseModel

from data.teachers import node_of, section_of, teacher_nodes
from stages.score import stage as score
from stages.teacher import stage as teacher


def checkpoint_faults(configs: Mapping[str, BaseModel]) -> Iterator[str]:
    """A line for each teacher without one that is to score with PyTorch."""
    stored = configs.get("score")
    if not isinstance(stored, score.Config) or stored.backend != "torch":
        return
    for name, node in teacher_nodes(configs).items():
        given = configs[node]
        scores = node_of("score", name) in configs
        if scores and isinstance(given, teacher.Config) and not given.has_checkpoint:
            yield (
                f"score.backend: 'torch' needs a teacher with an OpenNMT-py checkpoint, but {section_of(name)}.kind is "
                f"{given.kind!r}; set it to 'ctranslate2' or 'auto'"
            )
