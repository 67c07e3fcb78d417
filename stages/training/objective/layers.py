"""Which layer of the student learns from which of the teacher, and what must be known of both models for it."""

from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Discriminator, Field, Tag

from stages.training.config import ModelConfig

Stack = Literal["encoder", "decoder"]
Layer = Annotated[int, Field(ge=1)]
LayerPair = tuple[Layer, Layer]  # of the student, of the teacher


def _some(pairs: tuple[LayerPair, ...]) -> tuple[LayerPair, ...]:
    if not pairs:
        raise ValueError("expected at least one pair of layers")
    return pairs


def _form(value: Any) -> str:
    return "name" if isinstance(value, str) else "pairs"


# Told apart by its form, so that a fault is told once and not for both forms.
LayerMap = Annotated[
    Annotated[Literal["uniform", "last"], Tag("name")]
    | Annotated[tuple[LayerPair, ...], AfterValidator(_some), Tag("pairs")],
    Discriminator(_form),
]


@dataclass(frozen=True)
class Shape:
    """What of a transformer decides whether its inside can be compared with another's."""

    encoder_layers: int
    decoder_layers: int
    width: int
    heads: int

    @classmethod
    def of(cls, model: ModelConfig) -> Self:
        """That of a model which is built from a recipe."""
        return cls(model.encoder_layers, model.decoder_layers, model.width, model.heads)

    def layers(self, stack: Stack) -> int:
        """How many layers this stack has."""
        return self.encoder_layers if stack == "encoder" else self.decoder_layers


def layer_pairs(layers: LayerMap, student: int, teacher: int) -> tuple[LayerPair, ...]:
    """Pairs (student's layer, teacher's layer), from 1, for stacks of these many layers.

    uniform: every layer of the student, spread over the teacher's, the last on the last (6 -> 2: 1-3, 2-6; rounded up
    where they do not divide). last: the last on the last.
    """
    if layers == "last":
        return ((student, teacher),)
    if layers == "uniform":
        return tuple((layer, -(-layer * teacher // student)) for layer in range(1, student + 1))
    return layers
