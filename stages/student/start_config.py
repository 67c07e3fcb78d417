"""Direct transfer: from which of a teacher's layers a student starts, and what does not fit together."""

from collections.abc import Iterator
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, model_validator

from stages.training.config import ModelConfig

Side = Literal["encoder", "decoder"]
SIDES: tuple[Side, ...] = ("encoder", "decoder")
_LAYERS = (
    "teacher layer, from 1, of each {side} layer of the student; by default evenly spread, [] leaves all fresh; a "
    "table in place of a number takes a layer's parts from several"
)
LayerNumber = Annotated[int, Field(ge=1)]


class LayerParts(BaseModel):
    """Of which of the teacher's layers, from 1, each part of one layer is, its normalisation included.

    All layers read from and add to the same sum, so parts of several can stand in one: of a decoder that shrinks to one
    layer, what the first attends to and what a later one makes of it.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    self_attention: LayerNumber = Field(description="what looks at the own side")
    cross_attention: LayerNumber | None = Field(None, description="decoder: what looks at the source")
    feed_forward: LayerNumber = Field(description="the feed-forward block")

    @classmethod
    def of(cls, layer: int, side: Side) -> Self:
        """A layer as it is."""
        cross = layer if side == "decoder" else None
        return cls(self_attention=layer, cross_attention=cross, feed_forward=layer)

    def numbers(self) -> list[int]:
        """All that it names."""
        return [number for number in (self.self_attention, self.cross_attention, self.feed_forward) if number]


def _form(value: Any) -> str:
    return "number" if isinstance(value, int) else "parts"


# Told apart by its form, so that a fault is told once and not for both forms.
StartLayer = Annotated[
    Annotated[LayerNumber, Tag("number")] | Annotated[LayerParts, Tag("parts")], Discriminator(_form)
]


class StartConfig(BaseModel):
    """The student starts from a teacher's weights and not from random ones (https://arxiv.org/abs/2010.13002).

    Embeddings and output layer are always taken over, layers as they are named.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    encoder_layers: tuple[StartLayer, ...] | None = Field(None, description=_LAYERS.format(side="encoder"))
    decoder_layers: tuple[StartLayer, ...] | None = Field(None, description=_LAYERS.format(side="decoder"))
    embeddings: Literal["copy", "svd"] = Field(
        "copy",
        description="copy: as they are; svd: cut to a smaller width by a truncated SVD, for which layers stay fresh",
    )

    @model_validator(mode="after")
    def _layers_have_the_width(self) -> Self:
        if self.embeddings == "svd" and (self.encoder_layers or self.decoder_layers):
            side = SIDES[0] if self.encoder_layers else SIDES[1]
            raise ValueError(
                f"{side}_layers: embeddings = 'svd' is for a student of another width, and layers of another width "
                "cannot be copied; leave them out, or give the student the teacher's width and embeddings = 'copy'"
            )
        return self

    @model_validator(mode="after")
    def _parts_are_the_sides_own(self) -> Self:
        for side in SIDES:
            for number, parts in enumerate(self._given(side) or ()):
                if (parts.cross_attention is None) != (side == "encoder"):
                    needed = "an encoder has none" if side == "encoder" else "required in a decoder"
                    raise ValueError(f"{side}_layers[{number}].cross_attention: {needed}")
        return self

    def layers(self, side: Side, student: ModelConfig, teacher: ModelConfig) -> tuple[LayerParts, ...]:
        """The teacher's layers, from 1, that each of the student's is made of; empty where they stay fresh."""
        given = self._given(side)
        if given is not None:
            return given
        evenly = spread(_depth(student, side), _depth(teacher, side))
        return () if self.embeddings == "svd" else tuple(LayerParts.of(layer, side) for layer in evenly)

    def faults(self, student: ModelConfig, teacher: ModelConfig | None) -> list[str]:
        """What does not fit, a line each that begins with its key in the student's section; None: not known yet."""
        faults = [
            f"start.{side}_layers: names {len(given)} layers for the {_depth(student, side)} of the student's {side}; "
            "name one for each, or none"
            for side in SIDES
            if (given := self._given(side)) and len(given) != _depth(student, side)
        ]
        return faults if teacher is None else [*faults, *self._depth_faults(teacher), *self._faults(student, teacher)]

    def _given(self, side: Side) -> tuple[LayerParts, ...] | None:
        layers = self.encoder_layers if side == "encoder" else self.decoder_layers
        if layers is None:
            return None
        return tuple(LayerParts.of(layer, side) if isinstance(layer, int) else layer for layer in layers)

    def _depth_faults(self, teacher: ModelConfig) -> Iterator[str]:
        for side in SIDES:
            named = [number for parts in self._given(side) or () for number in parts.numbers()]
            highest, depth = max(named, default=0), _depth(teacher, side)
            if highest > depth:
                yield f"start.{side}_layers: names layer {highest}, but the teacher's {side} has {depth}"

    def _faults(self, student: ModelConfig, teacher: ModelConfig) -> Iterator[str]:
        if student.tie_output and not teacher.tie_output:
            yield (
                "model.tie_output: the teacher's output layer is not its target embedding, and one matrix cannot "
                "start as both; set it to false"
            )
        if self.embeddings == "svd":
            if student.width >= teacher.width:
                yield (
                    f"start.embeddings: 'svd' makes embeddings narrower, but the student's width is {student.width} "
                    f"and the teacher's {teacher.width}; lower model.width"
                    + (", or take 'copy'" if student.width == teacher.width else "")
                )
        elif student.width != teacher.width:
            yield (
                f"model.width: is {student.width}, the teacher's {teacher.width}, and neither embeddings nor layers of "
                f"another width can be copied; set it to {teacher.width}"
                + (", or start.embeddings to 'svd'" if student.width < teacher.width else "")
            )
        elif any(self.layers(side, student, teacher) for side in SIDES):
            yield from _layer_faults(student, teacher)


def spread(layers: int, teacher_layers: int) -> tuple[int, ...]:
    """Layers of a teacher, from 1, evenly spread: the first and the last are among them; of one, it is the first.

    Layer i of n, from 0, is 1 + round(i (N - 1) / (n - 1)), halves to the even: 12 -> 6 gives 1, 3, 5, 8, 10, 12;
    6 -> 3 gives 1, 3, 6; 6 -> 2 gives 1, 6. A deeper student has layers twice.
    """
    steps = max(layers - 1, 1)
    return tuple(1 + round(layer * (teacher_layers - 1) / steps) for layer in range(layers))


def _depth(model: ModelConfig, side: Side) -> int:
    return model.encoder_layers if side == "encoder" else model.decoder_layers


def _layer_faults(student: ModelConfig, teacher: ModelConfig) -> Iterator[str]:
    for name in ("heads", "feed_forward"):
        ours, theirs = getattr(student, name), getattr(teacher, name)
        if ours != theirs:
            yield (
                f"model.{name}: is {ours}, the teacher's {theirs}, so its layers cannot be copied; set it to {theirs}, "
                "or start.encoder_layers and start.decoder_layers to []"
            )
