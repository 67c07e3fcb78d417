"""Models of Marian -> a CTranslate2 folder, with all of their weights."""

import json
import re
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from data.errors import ModelError
from stages.teacher.sources import convert, copy_tokenizer
from stages.text.sentencepiece_model import open_model

OPUS_MT_DESCRIPTION = "decoder.yml"
_OF_OPTIONS = "special:"
_POSITIONS = "Wpos"
# Names that the converter reads.
_KNOWN = re.compile(
    r"(?:(?:encoder|decoder)_)?Wemb|(?:encoder|decoder)_(?:emb|top)_ln_(?:scale|bias)(?:_pre)?|"
    r"decoder_ff_logit_out_(?:W|Wt|b)|"
    r"(?:encoder|decoder)_l\d+_(?:self|context)_(?:[Wb][qkvo]|Wo_ln_(?:scale|bias)(?:_pre)?)|"
    r"(?:encoder|decoder)_l\d+_ffn_(?:[Wb][12]|ffn_ln_(?:scale|bias)(?:_pre)?)"
)


def convert_marian(path: Path, vocabularies: Sequence[Path], folder: Path, quantization: str) -> None:
    """A Marian `.npz` with its vocabularies, source first, or an OPUS-MT folder that names both; raises ModelError.

    A vocabulary may be a `.yml`, a plain list of tokens, or a SentencePiece model, which is the tokenizer, too.
    """
    from ctranslate2.converters import MarianConverter

    beside = path.parent
    if path.is_dir():
        beside, (path, *vocabularies) = path, _of_opus_mt(path)
    scratch = Path(tempfile.mkdtemp(prefix=".vocabularies-", dir=folder))
    try:
        readable = [
            str(_as_yml(vocabulary, scratch / f"{number}.yml")) for number, vocabulary in enumerate(vocabularies)
        ]
        convert(MarianConverter(str(path), readable), str(path), folder, quantization)
    finally:
        shutil.rmtree(scratch)
    models = [vocabulary for vocabulary in vocabularies if _is_sentencepiece(vocabulary)]
    if not models:
        copy_tokenizer(beside, folder)
    elif len(models) == len(vocabularies):
        for model, name in zip(models, ("source.spm", "target.spm"), strict=False):
            shutil.copyfile(model, folder / name)


def _of_opus_mt(folder: Path) -> tuple[Path, Path, Path]:
    """The model and both vocabularies that a folder's description names."""
    import yaml

    try:
        told = yaml.safe_load((folder / OPUS_MT_DESCRIPTION).read_bytes())
        source, target = told["vocabs"]
        return folder / told["models"][0], folder / source, folder / target
    except (OSError, ValueError, KeyError, TypeError, IndexError, yaml.YAMLError) as error:
        raise ModelError(f"{folder / OPUS_MT_DESCRIPTION} cannot be used: {error!r}; name the .npz instead") from error


def _is_sentencepiece(vocabulary: Path) -> bool:
    """By what it holds: Mozilla's models call it .spm, others .model or .vocab."""
    try:
        open_model(vocabulary)
    except ModelError:
        return False
    return True


def _as_yml(vocabulary: Path, path: Path) -> Path:
    """A vocabulary as CTranslate2's converter reads it: a token and its id a line."""
    if vocabulary.suffix in (".yml", ".yaml"):
        return vocabulary
    if _is_sentencepiece(vocabulary):
        model = open_model(vocabulary)
        tokens = [model.IdToPiece(number) for number in range(model.GetPieceSize())]
    else:
        try:
            tokens = vocabulary.read_text(encoding="utf-8").removesuffix("\n").split("\n")
        except (OSError, ValueError) as error:
            raise ModelError(
                f"{vocabulary} is no vocabulary of Marian ({error}); expected a .yml, a SentencePiece model, or a text "
                "with a token a line"
            ) from error
        if tokens[:2] != ["</s>", "<unk>"]:
            # As Marian has it, where the list does not hold them.
            tokens = ["</s>", "<unk>", *(token for token in tokens if token not in ("</s>", "<unk>"))]
    lines = [f"{json.dumps(token, ensure_ascii=False)}: {number}\n" for number, token in enumerate(tokens)]
    path.write_text("".join(lines), encoding="utf-8")
    return path


def check_marian_weights(path: Path, parameters: int) -> None:
    """Raises ModelError unless a converted model has as many weights as its .npz, which it would leave out silently."""
    import numpy as np

    with np.load(_of_opus_mt(path)[0] if path.is_dir() else path) as archive:
        weights = {name: archive[name] for name in archive.files if not name.startswith(_OF_OPTIONS)}
    if wrong := sorted(name for name, values in weights.items() if not np.isfinite(values).all()):
        raise ModelError(f"{path}: {wrong[0]} holds what is no number: its training diverged, or the file is damaged")
    sizes = {name: values.size for name, values in weights.items()}
    # Positions are weights only where they were trained.
    positions = sizes.pop(_POSITIONS, 0)
    if parameters - sum(sizes.values()) in (0, positions):
        return
    unknown = sorted(name for name in sizes if not _KNOWN.fullmatch(name))
    named = f", such as {', '.join(unknown[:4])}" if unknown else ""
    raise ModelError(
        f"{path}: the converted model has {parameters} weights and the original {sum(sizes.values())}: CTranslate2's "
        f"converter does not take all that there are{named}, so the model would compute something else; name one that "
        "was trained without the options that they come from"
    )
