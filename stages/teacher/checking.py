"""What the stage teacher tries before it hands a converted model on: a few sentences through it and its original."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from data.errors import ModelError
from data.model_file import read_model_file
from data.model_folder import CHECKPOINT_FILE, MODEL_FILE, TeacherInfo, read_vocabulary, special_token
from stages.loaded_model.conversion import convert_checkpoint
from stages.loaded_model.prompt import encode_sources
from stages.teacher.comparison import SENTENCES, Pair, check_arithmetic, check_handed_on
from stages.teacher.hub import own_tokenizer
from stages.teacher.hub_converter import hub_converter
from stages.teacher.marian import check_marian_weights, convert_marian
from stages.teacher.originals import HubModel, OpenNMTModel
from stages.teacher.sources import convert
from stages.teacher.tags import AROUND, is_language_tag, is_nllb_tag
from stages.text.marks import is_mark
from stages.text.own_models import LIBRARY_FILE, find_models, tokenizer_of
from stages.text.tokenizer import Tokenizer

# Rows of a vocabulary that have no token: a converter's names for them.
_FILLED = ("<unused:", "madeupword")
_SHOWN = 8
# Names of what is found, in the stage's metrics.
_NATS, _AGREEMENT = "nats_from_original", "agreement_after_quantization"


def check_hub_model(local: Path, folder: Path, info: TeacherInfo, scratch: Path, device: str) -> dict[str, Any]:
    """Compares a converted model of transformers with the original in `local`; returns what was found.

    Where the SentencePiece model beside it reads a text otherwise than the model's own tokenizer does, and its
    `tokenizer.json` does not, the former is taken away. Raises ModelError when the two models are not the same.
    """
    own = own_tokenizer(local)
    _check_ids(own, folder)
    if info.architecture == "encoder-decoder" or info.prompt is None:
        _check_around(folder, info)
    _settle_tokenizer(own, folder, info, scratch)
    sentences = [(_inner(own, text, info), _target(own, text)) for text in SENTENCES]
    exact = scratch / "float32"
    exact.mkdir()
    convert(hub_converter(local), str(local), exact, "float32")
    # Not kept, so that it is gone when the others are loaded.
    decoder_only = info.architecture == "decoder-only"
    worst = check_arithmetic(HubModel(local, decoder_only=decoder_only), exact, info, sentences)
    return {_NATS: worst, _AGREEMENT: check_handed_on(folder, info, exact, sentences, device)}


def check_opennmt_model(folder: Path, info: TeacherInfo, scratch: Path, device: str) -> dict[str, Any]:
    """Compares a converted checkpoint of OpenNMT-py with the original beside it; raises ModelError as above."""
    original = OpenNMTModel(folder / CHECKPOINT_FILE, special_token(folder, "decoder_start_token"))
    exact = scratch / "float32"
    convert_checkpoint(folder / CHECKPOINT_FILE, exact, quantization="float32")
    sentences = _made_up(folder)
    worst = check_arithmetic(original, exact, info, sentences)
    return {_NATS: worst, _AGREEMENT: check_handed_on(folder, info, exact, sentences, device)}


def check_marian_model(
    path: Path, vocabularies: Sequence[Path], folder: Path, info: TeacherInfo, scratch: Path, device: str
) -> dict[str, Any]:
    """Of Marian there is no original to run: all its weights must be there, and quantization must leave the model.

    `path` is the .npz or an OPUS-MT folder. Raises ModelError.
    """
    exact = scratch / "float32"
    exact.mkdir()
    convert_marian(path, vocabularies, exact, "float32")
    check_marian_weights(path, read_model_file(exact / MODEL_FILE).parameters())
    return {_AGREEMENT: check_handed_on(folder, info, exact, _made_up(folder), device)}


def check_given_model(folder: Path, info: TeacherInfo, device: str) -> dict[str, Any]:
    """Of a folder that was converted elsewhere, or that nothing else is known of: it must load and say numbers."""
    check_handed_on(folder, info, None, _made_up(folder), device)
    return {}


def _made_up(folder: Path) -> list[Pair]:
    """Its subwords are known to the stage tokenizer alone; any tokens tell models apart."""
    sides = [read_vocabulary(folder, "source"), read_vocabulary(folder, "target")]
    return [(_spread(sides[0], number), _spread(sides[1], number + 7)) for number in range(len(SENTENCES))]


def _spread(tokens: Sequence[str], start: int) -> list[str]:
    """Some of all tokens but marks: padding is hidden from a model where it stands in a text."""
    texts = [token for token in tokens if not is_mark(token)] or list(tokens)
    return [texts[(start + 13 * number) % len(texts)] for number in range(9)]


def _check_ids(own: Any, folder: Path) -> None:
    """The token of each id of the target's vocabulary, as the model's own tokenizer has it."""
    vocabulary = read_vocabulary(folder, "target")
    if getattr(own, "separate_vocabs", False):
        return
    theirs = own.convert_ids_to_tokens(list(range(min(len(vocabulary), len(own)))))
    wrong = [
        f"{number} is {token!r}, there {other!r}"
        for number, (token, other) in enumerate(zip(vocabulary, theirs, strict=False))
        if token != other and other is not None and not token.startswith(_FILLED)
    ]
    if wrong:
        raise ModelError(
            f"{len(wrong)} of {len(vocabulary)} ids of the converted vocabulary stand for another token than in the "
            f"model's own tokenizer: {'; '.join(wrong[:3])}; soft targets would be another's: name another model"
        )


def _check_around(folder: Path, info: TeacherInfo) -> None:
    """What the model's own tokenizer puts around a text must stand there, too; more may."""
    before, after = json.loads((folder / AROUND).read_bytes())
    ours: tuple[Sequence[str], Sequence[str]] = info.source_prefix, info.source_suffix
    if any(map(is_nllb_tag, [*before, *after])):
        # Its older tokenizers had the language after the end, its newer ones before the text; both are in use.
        before, after = [], sorted([*before, *after], key=_is_tag)
        ours = (), sorted([*ours[0], *ours[1]], key=_is_tag)
    for name, wanted, found in zip(("source_prefix", "source_suffix"), (before, after), ours, strict=True):
        left = iter(_masked(found))
        if missing := [token for token in _masked(wanted) if not any(token == one for one in left)]:
            raise ModelError(
                f"teacher.{name}: the model's own tokenizer puts {list(before)} before a text and {list(after)} after "
                f"it; {missing[0]} is missing in {list(found)}"
            )


def _masked(tokens: Sequence[str]) -> list[str]:
    return ["the language's tag" if _is_tag(token) else token for token in tokens]


def _is_tag(token: str) -> bool:
    return is_language_tag(token) or "{source}" in token or "{target}" in token


def _settle_tokenizer(own: Any, folder: Path, info: TeacherInfo, scratch: Path) -> None:
    """Keeps the subword models that read texts as the model's own tokenizer does; raises ModelError without any."""
    try:
        find_models(folder)
    except ModelError:
        return  # the recipe has to name others
    models = [path for path in find_models(folder) if path is not None]
    wrong = _first_difference(own, folder, info, scratch / "first")
    if wrong and models[0].name != LIBRARY_FILE and (folder / LIBRARY_FILE).is_file():
        hidden = [path.rename(scratch / path.name) for path in models]
        if _is_library(folder) and not _first_difference(own, folder, info, scratch / "second"):
            return
        for path in hidden:
            path.rename(folder / path.name)
    if wrong:
        raise ModelError(wrong)


def _is_library(folder: Path) -> bool:
    """Whether the library's file is what is found now."""
    try:
        return find_models(folder)[0].name == LIBRARY_FILE
    except ModelError:
        return False


def _first_difference(own: Any, folder: Path, info: TeacherInfo, place: Path) -> str:
    """Of the sentences, where the two read one differently, in words."""
    place.mkdir()
    tokenizer = tokenizer_of(folder, place)
    vocabulary = {token: number for number, token in reversed(list(enumerate(read_vocabulary(folder, "source"))))}
    unknown = vocabulary.get(special_token(folder, "unk_token"), -1)

    def ids(tokens: Sequence[str]) -> list[int]:
        return [vocabulary.get(token, unknown) for token in tokens]

    for text in SENTENCES:
        theirs, ours = _inner(own, text, info), _sent(tokenizer, text, info)
        if ids(theirs) != ids(ours):
            pairs = zip(ids(theirs), ids(ours), strict=False)
            first = next((number for number, (one, other) in enumerate(pairs) if one != other), len(ours))
            parts = [" ".join(tokens[max(first - 1, 0) : first + _SHOWN]) for tokens in (theirs, ours)]
            return (
                f"the model's own tokenizer reads {_whole(text, info)!r} as ... {parts[0]} ..., and what would be sent "
                f"is ... {parts[1]} ...: it would be asked something else than it was trained on. In a template, "
                "special tokens must be spelled as the tokenizer spells them; else name another model"
            )
    return ""


def _sent(tokenizer: Tokenizer, text: str, info: TeacherInfo) -> list[str]:
    return encode_sources([text], tokenizer, info.prompt)[0]


def _whole(text: str, info: TeacherInfo) -> str:
    return info.prompt.render(text) if info.prompt else text


def _inner(own: Any, text: str, info: TeacherInfo) -> list[str]:
    """Tokens of a text, with its prompt, as the model's own tokenizer has them, without what it puts around."""
    ids = own(_whole(text, info), add_special_tokens=False).input_ids
    return list(own.convert_ids_to_tokens(ids))


def _target(own: Any, text: str) -> list[str]:
    ids = own(text_target=text, add_special_tokens=False).input_ids
    return list(own.convert_ids_to_tokens(ids))
