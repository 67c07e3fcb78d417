"""How often the stage sides is wrong about human text, and how much of what is wrong it finds: docs/sources.md.

    python -m bench.sides     # all languages that Home Assistant has in a wheel, both directions: some minutes

The pairs stand in the order of the files that they are from, in which neighbours are alike. In place of a teacher's
translation stands the reference with some of its words gone and the others in another order.
"""

import random
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

from bench.human_text import LANGUAGES, Pair, catalog_pairs
from data import schema
from data.artifact import Artifact
from data.runtime import Runtime
from data.store import Store
from stages.corpus import stage as corpus
from stages.sides import stage as sides

# What is done to the pairs, and whether something is to be said of it.
SPOILT = {
    "right": False,
    "shifted by 1": True,
    "shifted from the middle": True,
    "shifted at the end": True,
    "shuffled": True,
    "swapped": True,
}
_LOST = 0.4
_LARGEST = 20_000


def spoilt(pairs: list[Pair], how: str) -> list[Pair]:
    """The pairs with references that are not theirs, and of the swapped ones both."""
    sources, targets = [source for source, _ in pairs], [target for _, target in pairs]
    if how == "swapped":
        return [(target, source) for source, target in pairs]
    if how == "shuffled":
        random.Random(1).shuffle(targets)  # noqa: S311
    begins = {"shifted by 1": 0, "shifted from the middle": len(pairs) // 2, "shifted at the end": len(pairs) * 9 // 10}
    if how in begins:
        del targets[begins[how]]
    return list(zip(sources, targets, strict=False))


def translated(text: str, share: float = _LOST) -> str:
    """A text that says much the same: some of its words gone, the others in another order; without spaces, signs."""
    words = text.split() if " " in text.strip() else list(text)
    seed = random.Random(text)  # noqa: S311
    kept = [word for word in words if seed.random() > share] or words[:1]
    seed.shuffle(kept)
    return (" " if " " in text.strip() else "").join(kept)


def looked_at(folder: Path, pairs: list[Pair], known: dict[str, str], languages: tuple[str, str]) -> tuple[Any, float]:
    """The stage's metrics, and processor seconds."""
    for side, name in enumerate(("a", "b")):
        (folder / name).write_text("".join(f"{pair[side]}\n" for pair in pairs), encoding="utf-8")
    source = {
        "kind": "text",
        "name": "a",
        "source_file": str(folder / "a"),
        "target_file": str(folder / "b"),
        "anything": True,
    }
    config = {"source_language": languages[0], "target_language": languages[1], "sources": [source], "test_fraction": 0}
    made = _closed(
        folder, "corpus", lambda output: corpus.run({}, corpus.Config.model_validate(config), output, Runtime())
    )
    nbest = _closed(folder, "decode", lambda output: _decode(made, output, known))
    began = time.process_time()
    found = sides.run({"corpus": made, "decode": nbest}, sides.Config(), nbest, Runtime())
    return found, time.process_time() - began


def _closed(folder: Path, node: str, make: Any) -> Artifact:
    output = Store(tempfile.mkdtemp(dir=folder)).artifact(node, "0" * 20)
    make(output)
    output.complete(stage=node, version="1", config={}, inputs={}, libraries={}, metrics={})
    return output


def _decode(made: Artifact, output: Artifact, known: dict[str, str]) -> None:
    for name in made.shard_names("train-"):
        table = made.read_shard(name, ["id", "source"])
        texts = [translated(known.get(source, source)) for source in table.column("source").to_pylist()]
        lists = [[{"tokens": [], "text": text, "score": 0.0, "teacher": "teacher"}] for text in texts]
        output.write_shard(
            name, pa.Table.from_pydict({"id": table.column("id"), "hypotheses": lists}, schema=schema.NBEST)
        )


def lines() -> Iterator[str]:
    """The table: what was said of each corpus, and the seconds that the right one took."""
    yield f"| direction | pairs | {' | '.join(SPOILT)} | seconds |"
    yield f"|---|{'---|' * (len(SPOILT) + 2)}"
    for language in LANGUAGES:
        pairs = catalog_pairs(language)[:_LARGEST]
        for turned in (False, True):
            tags = (language, "en") if turned else ("en", language)
            both = [pair[::-1] if turned else pair for pair in pairs]
            found = {}
            with tempfile.TemporaryDirectory() as folder:
                for how in SPOILT:
                    found[how] = looked_at(Path(folder), spoilt(both, how), dict(both), tags)
            cells = (_short(found[how][0]["warnings"]) for how in SPOILT)
            yield f"| {tags[0]} → {tags[1]} | {len(both):,} | {' | '.join(cells)} | {found['right'][1]:.2f} |"


def _short(warnings: list[str]) -> str:
    words = {"shifted:": "shift", "references are no more": "chance", "swapped:": "swap", "are not in": "language"}
    return ", ".join(next(short for mark, short in words.items() if mark in one) for one in warnings) or "–"


if __name__ == "__main__":
    for line in lines():
        print(line, flush=True)
