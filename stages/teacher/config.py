"""Where a teacher comes from and how it is asked, as a recipe says it."""

from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from data.model_folder import Architecture
from stages.loaded_model.prompt import PromptConfig
from stages.training.config import ModelConfig, OptimiserConfig
from stages.training.languages_config import LanguagesConfig
from stages.training.validation_config import ValidationConfig
from stages.training.weights_config import Weights, weights_field, with_weights

Quantization = Literal[
    "int8", "int8_float32", "int8_float16", "int8_bfloat16", "int16", "float16", "bfloat16", "float32"
]
_OWN_KEYS = {
    "train": {"model", "optimiser", "validation", "words", "architecture", "languages", "weights"},
    "transformers": {"revision"},
    "ctranslate2": {"restore_checkpoint"},
    "marian": {"vocabularies"},
    "fairseq": {"dictionaries", "source_language", "target_language"},
}
WITH_CHECKPOINT = {"train", "opennmt"}
# Kinds that may be language models, and are asked as their section says.
_PROMPTED = {"opennmt", "ctranslate2", "transformers"}


class TeacherShape(ModelConfig):
    """Shape of a teacher that is trained here: larger than a student by default."""

    encoder_layers: int = Field(3, description="layers of the encoder", ge=1, le=48)
    decoder_layers: int = Field(3, description="layers of the decoder", ge=1, le=48)
    width: int = Field(256, description="D: size of embeddings and of every layer's output", ge=8, le=8192)
    feed_forward: int = Field(1024, description="inner size of the feed-forward blocks", ge=8, le=65536)


class Config(BaseModel):
    """Where the teacher comes from; keys that belong to another kind are faults."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    # A recipe with kind = "given" has the keys, and the stage, of stages/given in the place of these.
    kind: Literal["train", "opennmt", "ctranslate2", "transformers", "marian", "fairseq", "given"] = Field(
        "train",
        description="trained here, or what made the model: a toolkit's name, or ctranslate2 for a folder of it; given: "
        "no model but translations, whose keys are below",
    )
    path: str | None = Field(
        None, description="file (opennmt, marian, fairseq) or folder (ctranslate2, transformers, OPUS-MT) or hub name"
    )
    source_prefix: list[str] | None = Field(
        None,
        description="tokens before every source; by default none; {source} and {target} in them stand for the row's "
        "languages, as language_names has them",
    )
    source_suffix: list[str] | None = Field(
        None, description="tokens after every source; by default </s> where the model needs it"
    )
    target_prefix: list[str] | None = Field(
        None, description="tokens that every target begins with; by default none; {source} and {target} likewise"
    )
    language_names: dict[str, str] = Field(
        default_factory=dict,
        description="of a model of many languages, what it calls each of the recipe's, e.g. {en = 'eng_Latn'}",
    )
    pairs: list[str] = Field(
        default_factory=list,
        description="language pairs of the corpus that it is for, such as en-de: rows of others are neither trained "
        "on, nor translated or scored by it; by default all. A pair that no teacher is for is learned from references",
    )
    restore_checkpoint: bool = Field(
        False,
        description="ctranslate2: put OpenNMT-py's checkpoint back from the folder's weights, which its converter made "
        "in 8 or 32 bits: a student can then start from this teacher, or be compared with it inside",
    )
    quantization: Literal["auto"] | Quantization = Field(
        "auto", description="what it computes with; auto: int8 on a CPU, float16 on a GPU"
    )
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="where it decodes and scores")
    revision: str | None = Field(None, description="transformers: branch, tag or commit on the hub")
    vocabularies: list[str] = Field(
        default_factory=list,
        description="marian: vocabularies of an .npz, source first: .yml, .spm or a token a line",
        max_length=2,
    )
    dictionaries: str | None = Field(None, description="fairseq: folder with dict.<language>.txt")
    source_language: str | None = Field(None, description="fairseq: source language, if the model does not name it")
    target_language: str | None = Field(None, description="fairseq: target language, likewise")
    prompt: PromptConfig | None = Field(
        None, description="opennmt, ctranslate2, transformers: how a decoder-only model is asked for a translation"
    )
    architecture: Architecture = Field(
        "encoder-decoder",
        description="train: decoder-only is a language model, which reads <s> source <sep> and goes on with the target",
    )
    model: TeacherShape = Field(default_factory=TeacherShape, description="train: shape of the teacher")
    optimiser: OptimiserConfig = Field(default_factory=OptimiserConfig, description="train: how it is trained")
    validation: ValidationConfig = Field(
        default_factory=ValidationConfig, description="train: what it is validated on, and what follows from it"
    )
    languages: LanguagesConfig | None = Field(
        None, description="train: how several language pairs are learned; to be set where the corpus has several"
    )
    weights: Weights = weights_field()
    words: int = Field(
        32_000, description="train: most frequent words that a tokenizer of kind none has", ge=1, le=1_000_000
    )

    @property
    def has_checkpoint(self) -> bool:
        """Whether PyTorch can have it too: it comes with OpenNMT-py's `checkpoint.pt`, or that is put back."""
        return self.kind in WITH_CHECKPOINT or self.restore_checkpoint

    @model_validator(mode="before")
    @classmethod
    def _weights_of_sources(cls, content: Any) -> Any:
        """What is not trained here has no use for them."""
        return with_weights(content, used=not isinstance(content, dict) or content.get("kind", "train") == "train")

    @model_validator(mode="after")
    def _keys_fit_the_kind(self) -> Self:
        foreign = {key for kind, keys in _OWN_KEYS.items() if kind != self.kind for key in keys}
        if wrong := sorted(foreign & self.model_fields_set):
            raise ValueError(f"{', '.join(wrong)}: not used with kind = {self.kind!r}; leave out")
        if (self.path is None) != (self.kind == "train"):
            needed = "required" if self.kind != "train" else "not used"
            raise ValueError(f"path: {needed} with kind = {self.kind!r}")
        if self.kind == "fairseq" and not self.dictionaries:
            raise ValueError("dictionaries: required with kind = 'fairseq'")
        if self.prompt is not None and self.kind not in _PROMPTED:
            raise ValueError(f"prompt: not used with kind = {self.kind!r}; leave out")
        return self

    @model_validator(mode="after")
    def _training_fits(self) -> Self:
        if self.model.preset:
            raise ValueError("model.preset: presets are of students; name the teacher's shape, or leave it out")
        if fault := self.validation.fault(self.optimiser.validate_every):
            raise ValueError(fault)
        if self.validation.targets == "teacher":
            raise ValueError("validation.targets: a teacher that is trained here has no teacher; leave it out")
        if self.validation.translates and self.architecture == "decoder-only":
            raise ValueError("validation.metric: a decoder-only model is validated by cross_entropy alone")
        return self

    @model_validator(mode="after")
    def _layers_fit_the_architecture(self) -> Self:
        if self.architecture == "decoder-only" and "encoder_layers" in self.model.model_fields_set:
            raise ValueError("model: a decoder-only teacher has no encoder_layers; leave them out")
        return self
