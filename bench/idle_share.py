"""A process that takes batches as a fast training would: how much of its time it waits for them.

`python -m bench.idle_share FOLDER MILLISECONDS BATCHES`. It asks for nothing that older trees do not have, so that a
tree of another commit can be measured beside this one.
"""

import json
import sys
import time
from pathlib import Path


def main() -> None:
    """Prints the share of the time, and batches a second, as JSON."""
    folder, milliseconds, count = sys.argv[1:]
    print(json.dumps(waited(Path(folder), float(milliseconds) / 1000, int(count))))


def waited(folder: Path, seconds: float, count: int) -> dict[str, float]:
    """Of all time from the first batch on; a batch is worked on for so many seconds, on a device of its own."""
    from functools import partial

    from data.store import Store
    from stages.text.tokenizer import load_tokenizer
    from stages.training.batches.batches import BatchSource, Stream
    from stages.training.batches.mixture import Mixture, Place
    from stages.training.batches.prefetch import Prefetcher
    from stages.training.vocabulary import Vocabulary

    text = Store(str(folder)).artifact("text", "0" * 20)
    encoder = load_tokenizer(folder / "subwords")
    vocabulary = Vocabulary.from_tokens(encoder.source_pieces())
    shards = [partial(text.read_shard, name, ("source", "reference")) for name in text.shard_names()]
    stream = Stream("reference", shards, "reference")
    source = BatchSource(stream, encoder, vocabulary, vocabulary, 1536, 200, 20_000, 1)
    waiting = 0.0
    with Prefetcher(Mixture({"reference": source}, lambda step: {"reference": 1.0}, 1).batches(Place()), 8) as batches:
        next(batches)
        begun = time.perf_counter()
        for _ in range(count):
            asked = time.perf_counter()
            next(batches)
            waiting += time.perf_counter() - asked
            time.sleep(seconds)
    whole = time.perf_counter() - begun
    return {"share": waiting / whole, "batches_per_second": count / whole}


if __name__ == "__main__":
    main()
