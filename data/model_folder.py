"""A folder with a CTranslate2 model: what is in it, and what Potstill wrote down about it in `potstill.json`."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from data.errors import ModelError
from data.fingerprint import bytes_digest, file_digest, mapping_digest
from data.language_tags import Direction, is_tagged, render
from data.local import write_atomically
from data.model_file import ModelFile, read_model_file

INFO_FILE = "potstill.json"
MODEL_FILE = "model.bin"
CONFIG_FILE = "config.json"
CHECKPOINT_FILE = "checkpoint.pt"
# Both vocabularies of the teacher, which a dataset carries: {"source": [...], "target": [...]}.
VOCABULARY_FILE = "vocabulary.json"

Side = Literal["source", "target"]
Architecture = Literal["encoder-decoder", "decoder-only"]
# By the specification that CTranslate2 writes into a model's file.
_ARCHITECTURES: dict[str, Architecture] = {
    "TransformerSpec": "encoder-decoder",
    "TransformerDecoderSpec": "decoder-only",
}


class Prompt(BaseModel):
    """How a language model is asked for a translation: the text before and after the source."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    before: str = Field(description="text before the source: examples, the name of its language")
    after: str = Field(description="text between the source and its translation")

    def render(self, source: str) -> str:
        """The whole prompt for a source text."""
        return f"{self.before}{source}{self.after}"


class TeacherInfo(BaseModel):
    """What a stage must know to use a model folder; kept beside the model as `potstill.json`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["train", "opennmt", "ctranslate2", "transformers", "marian", "fairseq", "student", "given"] = Field(
        description="where the model came from; student: exported by Potstill; given: there is none, but translations"
    )
    source_prefix: tuple[str, ...] = Field(
        (), description="tokens before every source; {source} and {target} in them stand for names of its languages"
    )
    source_suffix: tuple[str, ...] = Field(
        (), description="tokens after every source, such as </s>; with {source} and {target} likewise"
    )
    target_prefix: tuple[str, ...] = Field(
        (), description="tokens that every target begins with, no part of it; with {source} and {target} likewise"
    )
    language_names: dict[str, str] = Field(
        default_factory=dict, description="what stands for each language in the prefixes, by BCP-47 tag"
    )
    architecture: Architecture = Field(
        "encoder-decoder", description="decoder-only: a language model, which goes on where the source ends"
    )
    prompt: Prompt | None = Field(None, description="decoder-only: the text around a source; none where tokens do")
    end_token: str = Field("", description="decoder-only: token that ends a translation; by default the model's </s>")
    pairs: tuple[str, ...] = Field((), description="language pairs that it translates, such as en-de; none: all")
    source_vocabulary_size: int = Field(ge=1, description="entries of the source vocabulary")
    target_vocabulary_size: int = Field(ge=1, description="V: entries of the target vocabulary")
    vocabulary_digest: str = Field(description="digest of the target vocabulary, in order")
    parameters: int = Field(
        ge=0,
        description="trained weights; shared ones count once, quantization scales not at all; 0: there is no model",
    )
    quantization: str = Field(description="what it computes with: int8, float16, float32, ... (CTranslate2's names)")
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="where it runs; auto: the best a worker has")
    digest: str = Field(description="digest of model.bin, config.json and the vocabularies")

    @property
    def is_given(self) -> bool:
        """Whether it is no model at all, but translations from elsewhere, in its recipe's vocabulary."""
        return self.kind == "given"

    def translates(self, pair: str) -> bool:
        """Whether it is for this language pair, such as en-de."""
        return not self.pairs or pair in self.pairs

    def is_tagged(self) -> bool:
        """Whether it must be told the direction of each sentence."""
        return is_tagged((*self.source_prefix, *self.source_suffix, *self.target_prefix))

    def toward(self, direction: Direction) -> "TeacherInfo":
        """How it is asked in one direction: no prefix hangs on the row any more.

        Raises ModelError for a language that it has no name for.
        """
        if not self.is_tagged():
            return self
        around = ("source_prefix", "source_suffix", "target_prefix")
        told = {name: render(getattr(self, name), direction, self.language_names) for name in around}
        return self.model_copy(update=told)


def load_teacher_info(folder: Path) -> TeacherInfo:
    """The folder's `potstill.json`; raises ModelError when it is not there or cannot be read."""
    path = folder / INFO_FILE
    try:
        return TeacherInfo.model_validate_json(path.read_bytes())
    except OSError as error:
        raise ModelError(
            f"{path} cannot be read ({error.strerror}): {folder} was made neither by the stage teacher nor by export; "
            "name it in the recipe's [teacher] with kind = ctranslate2, or pass a folder that Potstill made"
        ) from error
    except ValidationError as error:
        fault = error.errors()[0]
        where = ".".join(str(part) for part in fault["loc"]) or "content"
        raise ModelError(f"{path}: {where}: {fault['msg']}; run the stage that made it again") from error


def check_is_model(folder: Path) -> None:
    """Raises ModelError where a teacher's folder holds no model, but what stands for translations that were given."""
    path = folder / INFO_FILE
    try:
        content = json.loads(path.read_bytes()) if path.is_file() else {}
    except (OSError, ValueError):
        return  # whoever reads it tells
    if isinstance(content, dict) and content.get("kind") == "given":
        raise ModelError(
            f"{folder}: the translations of this teacher were given, so there is no model that could translate; take "
            "the student, which the stage export left, or a teacher that is one"
        )


def describe_model(
    folder: Path,
    kind: Literal["train", "opennmt", "ctranslate2", "transformers", "marian", "fairseq", "student", "given"],
    *,
    source_prefix: Sequence[str] = (),
    source_suffix: Sequence[str] = (),
    target_prefix: Sequence[str] = (),
) -> TeacherInfo:
    """Everything about a CTranslate2 folder, read from its files; raises ModelError when it is no such folder."""
    if faults := model_faults(folder):
        raise ModelError("; ".join(faults))
    source, target = read_vocabulary(folder, "source"), read_vocabulary(folder, "target")
    model = read_model_file(folder / MODEL_FILE)
    return TeacherInfo(
        kind=kind,
        architecture=_ARCHITECTURES[model.specification],
        source_prefix=tuple(source_prefix),
        source_suffix=tuple(source_suffix),
        target_prefix=tuple(target_prefix),
        source_vocabulary_size=len(source),
        target_vocabulary_size=len(target),
        vocabulary_digest=vocabulary_digest(target),
        parameters=model.parameters(),
        quantization=model.quantization(),
        digest=model_digest(folder),
    )


def save_teacher_info(folder: Path, info: TeacherInfo) -> None:
    """Writes `potstill.json` whole or not at all."""
    write_atomically(folder / INFO_FILE, (info.model_dump_json(indent=2) + "\n").encode())


def read_vocabulary(folder: Path, side: Side) -> list[str]:
    """Tokens of one side by id, as CTranslate2 orders them; raises ModelError when there are none or too many files.

    CTranslate2 keeps one file a side or a shared one, in JSON or (before version 3.11) with a token a line; of a
    language model, which has one vocabulary, it is named `vocabulary`.
    """
    path = _vocabulary_file(folder, side)
    if path is None:
        raise ModelError(
            f"{folder}: no {side} vocabulary; expected {side}_vocabulary.json or shared_vocabulary.json beside "
            f"{MODEL_FILE}: convert the model again with CTranslate2"
        )
    try:
        text = path.read_bytes().decode("utf-8")
        tokens = json.loads(text) if path.suffix == ".json" else text.removesuffix("\n").split("\n")
    except (OSError, ValueError) as error:
        raise ModelError(f"{path} cannot be read as a vocabulary: {error}; convert the model again") from error
    if not isinstance(tokens, list) or not tokens or not all(isinstance(token, str) for token in tokens):
        raise ModelError(f"{path}: expected a list of tokens; convert the model again")
    return tokens


def special_token(folder: Path, name: Literal["unk_token", "eos_token", "decoder_start_token", "bos_token"]) -> str:
    """The token that `config.json` gives this part; the usual one where it is silent, as old models are."""
    default = {"unk_token": "<unk>", "eos_token": "</s>", "decoder_start_token": "<s>", "bos_token": "<s>"}[name]
    path = folder / CONFIG_FILE
    if not path.is_file():
        return default
    try:
        found = json.loads(path.read_bytes()).get(name, default)
    except (OSError, ValueError, AttributeError) as error:
        raise ModelError(f"{path} cannot be read: {error}; convert the model again") from error
    return found if isinstance(found, str) else default


def starts_with_prefix(folder: Path) -> bool:
    """Whether the decoder starts with the caller's own token: `config.json` names none, as of mBART-25."""
    path = folder / CONFIG_FILE
    try:
        content = json.loads(path.read_bytes()) if path.is_file() else {}
    except (OSError, ValueError) as error:
        raise ModelError(f"{path} cannot be read: {error}; convert the model again") from error
    return isinstance(content, dict) and content.get("decoder_start_token", "") is None


def end_of(folder: Path) -> str:
    """The token that ends a translation of a teacher; raises ModelError when the folder does not say."""
    return load_teacher_info(folder).end_token or special_token(folder, "eos_token")


def vocabulary_digest(tokens: Sequence[str]) -> str:
    """Digest of tokens in their order: equal digests mean that ids mean the same."""
    return bytes_digest(json.dumps(list(tokens), ensure_ascii=True, separators=(",", ":")).encode())


def model_digest(folder: Path) -> str:
    """Digest of what the model computes with: its weights, config and vocabularies; nothing else in the folder."""
    names = [MODEL_FILE, CONFIG_FILE, *(path.name for path in folder.glob("*vocabulary.*"))]
    present = sorted({name for name in names if (folder / name).is_file()})
    return mapping_digest({name: file_digest(folder / name) for name in present})


def model_faults(folder: Path) -> list[str]:
    """Why the folder is no CTranslate2 model that translates, one line a fault; empty when it is one. Reads headers."""
    if not folder.is_dir():
        return [f"{folder}: no such folder; expected one with a CTranslate2 model"]
    if not (folder / MODEL_FILE).is_file():
        found = ", ".join(sorted(path.name for path in folder.iterdir())[:8]) or "nothing"
        return [
            f"{folder} holds no {MODEL_FILE} but {found}: it is no CTranslate2 model; convert it first, or name its "
            "kind (opennmt, transformers, marian, fairseq)"
        ]
    try:
        faults = _shape_faults(folder, read_model_file(folder / MODEL_FILE))
        for side in ("source", "target"):
            read_vocabulary(folder, side)
    except ModelError as error:
        return [str(error)]
    return faults


def _shape_faults(folder: Path, model: ModelFile) -> list[str]:
    if model.specification in _ARCHITECTURES:
        return []
    return [
        f"{folder} holds a {model.specification}; expected {' or '.join(_ARCHITECTURES)}: Potstill distils "
        "encoder-decoder translation models and decoder-only language models"
    ]


def _vocabulary_file(folder: Path, side: Side) -> Path | None:
    names = [f"{name}_vocabulary.{kind}" for kind in ("json", "txt") for name in (side, "shared")]
    names += ["vocabulary.json", "vocabulary.txt"]
    return next((folder / name for name in names if (folder / name).is_file()), None)
