"""What Potstill uses of OpenNMT-py, loaded without what it does not use.

`import onmt` imports every text transform, and with them packages that nobody here calls; some have no wheels for newer
Pythons. While it is imported, empty modules stand in their place: all else is the real library's code, untouched.
Nothing else here imports `onmt`.
"""

import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import ModuleType
from typing import Any, NoReturn

# The modules that OpenNMT-py gets an empty one for, with what they are or would import.
LEFT_OUT = {
    "pyonmttok": "its tokenizer; of vocabularies the model builder asks what `vocabularies` gives",
    "onmt.transforms.clean": "fasttext, regex",
    "onmt.transforms.fuzzymatch": "rapidfuzz",
    "onmt.transforms.inlinetags": "ahocorasick",
    "onmt.transforms.normalize": "regex",
    "onmt.transforms.terminology": "spacy, ahocorasick",
}


class _Absent(ModuleType):
    """Stands where a module was left out; whoever asks it for anything is told so."""

    def __getattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"{self.__name__}.{name}: Potstill loads OpenNMT-py without {self.__name__}")


@contextmanager
def left_out(names: Sequence[str]) -> Iterator[None]:
    """Within it an import of these modules finds an empty one, but where the real one is loaded already.

    Afterwards they can be imported as ever.
    """
    absent = {name: _Absent(name) for name in names if name not in sys.modules}
    sys.modules.update(absent)
    try:
        yield
    finally:
        for name in absent:
            del sys.modules[name]


with warnings.catch_warnings(), left_out(tuple(LEFT_OUT)):
    warnings.simplefilter("ignore", FutureWarning)  # of torch.cuda.amp, a page of them, on every import
    from onmt.encoders import transformer as _encoder
    from onmt.model_builder import build_base_model, build_model
    from onmt.opts import model_opts
    from onmt.trainer import Trainer
    from onmt.utils import Statistics
    from onmt.utils.loss import LossCompute
    from onmt.utils.optimizers import Optimizer
    from onmt.utils.parse import ArgumentParser

__all__ = [
    "ArgumentParser",
    "LossCompute",
    "Optimizer",
    "Statistics",
    "Trainer",
    "build_base_model",
    "build_model",
    "model_opts",
    "vocabularies",
]


def _mask(lengths: Any, max_len: int | None = None) -> Any:
    """OpenNMT-py's mask, which asks the device for the longest sequence where nobody says it, and waits for the answer.

    Whoever knows it sets it as `longest` on the lengths.
    """
    return _sequence_mask(lengths, max_len or getattr(lengths, "longest", None))


_sequence_mask = _encoder.sequence_mask
_encoder.sequence_mask = _mask


def vocabularies(entry: Mapping[str, Any]) -> dict[str, Any]:
    """What the model builder asks for vocabularies: of `src` and `tgt` the id of a token, and how many there are.

    `entry` is what a checkpoint holds under `vocab`; the rest of it stays as it is. OpenNMT-py's own `dict_to_vocabs`
    answers the same with an object of pyonmttok's.
    """
    features = {"src_feats": [_ids(tokens) for tokens in entry["src_feats"]]} if "src_feats" in entry else {}
    return {**entry, "src": _ids(entry["src"]), "tgt": _ids(entry["tgt"]), **features}


def _ids(tokens: Sequence[str]) -> dict[str, int]:
    return {token: number for number, token in enumerate(dict.fromkeys(tokens))}
