"""Direct transfer: a student that begins with weights of its teacher (https://arxiv.org/abs/2010.13002)."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from data.errors import ModelError
from stages.student.start_config import SIDES, LayerParts, Side, StartConfig
from stages.training.checkpoint import load_model
from stages.training.config import ModelConfig
from stages.training.model import Transformer
from stages.training.vocabulary import BEGIN, Vocabulary

_EMBEDDING = "{side}.embeddings.make_embedding.emb_luts.0.weight"
# What belongs to each part of a layer, on either side.
_PARTS = {
    "self_attention": ("self_attn.", "layer_norm.", "layer_norm_1."),
    "cross_attention": ("context_attn.", "layer_norm_2."),
    "feed_forward": ("feed_forward.",),
}
_STACKS: Mapping[Side, str] = {"encoder": "encoder.transformer", "decoder": "decoder.transformer_layers"}
# What a layer computes with its weights; sinusoidal positions have none, but layers are used to what they learned with.
_KIND = (
    "encoder_type", "decoder_type", "self_attn_type", "position_encoding", "position_encoding_type",
    "max_relative_positions", "relative_positions_buckets", "pos_ffn_activation_fn", "layer_norm", "norm_eps",
    "parallel_residual", "shared_layer_norm", "num_kv", "add_qkvbias", "add_ffnbias", "num_experts", "sliding_window",
)  # fmt: skip

Weights = dict[str, Tensor]


def starting_from(checkpoint: Path, start: StartConfig) -> Callable[[Transformer], None]:
    """What gives a fresh student the weights of the teacher in this checkpoint, which is read only then."""
    return lambda student: transfer(student, load_model(checkpoint, "cpu"), start)


def transfer(student: Transformer, teacher: Transformer, start: StartConfig) -> None:
    """Overwrites the student's embeddings, output layer and chosen layers with the teacher's.

    Rows of embeddings and output layer are matched by token; tokens that the teacher lacks keep their own. Of a side
    from which layers come, the closing normalisation comes as well. Raises ModelError, with all reasons, when the
    models do not fit: the student is then as it was.
    """
    if teacher.options.model_task != student.options.model_task:
        raise ModelError(
            f"the student cannot start from this teacher: it is for the task {teacher.options.model_task!r} and the "
            f"student for {student.options.model_task!r}; take an encoder-decoder teacher, or leave the start out"
        )
    shapes = (_shape(student), _shape(teacher))
    maps = {side: start.layers(side, *shapes) for side in SIDES}
    faults = [*start.faults(*shapes), *_other_begin(teacher)]
    if any(maps.values()):
        faults += _kind_faults(student, teacher)
    if faults:
        raise ModelError(f"the student cannot start from this teacher: {'; '.join(faults)}")
    mine, theirs = _parameters(student), _parameters(teacher)
    values = _embedded(student, teacher, mine, theirs)
    for side, layers in maps.items():
        values |= _layers(side, layers, theirs)
    _assign(mine, values)


def _shape(model: Transformer) -> ModelConfig:
    options = model.options
    return ModelConfig(
        encoder_layers=options.enc_layers,
        decoder_layers=options.dec_layers,
        width=options.enc_hid_size,
        heads=options.heads,
        feed_forward=options.transformer_ff,
        tie_output=options.share_decoder_embeddings,
    )


def _other_begin(teacher: Transformer) -> Iterator[str]:
    begin = getattr(teacher.options, "decoder_start_token", BEGIN)
    if begin != BEGIN:
        yield (
            f"the teacher's targets begin with {begin!r} and the student's with {BEGIN!r}, whose embedding the teacher "
            "never learned; leave the start out"
        )


def _kind_faults(student: Transformer, teacher: Transformer) -> Iterator[str]:
    def kind(model: Transformer, name: str) -> Any:
        value = getattr(model.options, name, None)
        # Another way of computing the same.
        return value.removesuffix("-flash") if isinstance(value, str) else value

    for name in _KIND:
        ours, theirs = kind(student, name), kind(teacher, name)
        if ours != theirs:
            yield f"the teacher's layers are of another kind, {name} is {theirs!r} and the student's {ours!r}"


def _parameters(model: Transformer) -> Weights:
    """By name; one that has several names under each of them."""
    return dict(model.module.named_parameters(remove_duplicate=False))


def _embedded(student: Transformer, teacher: Transformer, mine: Weights, theirs: Weights) -> Weights:
    """Both embeddings and the output layer, cut to the student's width if it is smaller."""
    width = student.options.enc_hid_size
    source = _rows("source", student.source_vocabulary, teacher.source_vocabulary)
    target = _rows("target", student.target_vocabulary, teacher.target_vocabulary)
    places = {_EMBEDDING.format(side="encoder"): source, _EMBEDDING.format(side="decoder"): target}
    places |= dict.fromkeys(("generator.weight", "generator.bias"), target)
    # By identity: a matrix that is several at once is decomposed once, and stays one.
    matrices = {id(theirs[name]): theirs[name].detach() for name in places}
    given = {key: _narrowed(matrix, width) for key, matrix in matrices.items()}
    values = {}
    for name, (rows, teacher_rows) in places.items():
        value = mine[name].detach().clone()
        value[rows] = given[id(theirs[name])][teacher_rows].to(value)
        values[name] = value
    return values


def _narrowed(matrix: Tensor, width: int) -> Tensor:
    """The rows [V, D] in the `width` directions that hold most of them, [V, width]; a bias, or what fits, as it is.

    Up to a rotation the best approximation of that rank (https://doi.org/10.1007/BF02288367): products between rows
    stay as near as they can.
    """
    if matrix.dim() == 1 or matrix.shape[1] == width:
        return matrix
    exact = matrix.double()
    _, _, directions = torch.linalg.svd(exact, full_matrices=False)
    narrowed: Tensor = exact @ directions[:width].T
    return narrowed.to(matrix.dtype)


def _rows(side: str, student: Vocabulary, teacher: Vocabulary) -> tuple[Tensor, Tensor]:
    """Ids of the teacher's tokens in the student's vocabulary and in its own, [N] each."""
    known = {token: number for number, token in reversed(list(enumerate(teacher.tokens)))}
    shared = [(number, known[token]) for number, token in enumerate(student.tokens) if token in known]
    if len(shared) < len(known):
        missing = sorted(known.keys() - set(student.tokens))
        raise ModelError(
            f"{len(missing)} of {len(known)} tokens of the teacher's {side} vocabulary are not in the student's, such "
            f"as {missing[0]!r}: a student can start only from the teacher whose vocabulary it has"
        )
    rows = torch.tensor(shared).T
    return rows[0], rows[1]


def _layers(side: Side, chosen: tuple[LayerParts, ...], theirs: Weights) -> Weights:
    """Weights of the student's layers by name, and of the normalisation behind the last of them."""
    if not chosen:
        return {}
    stack, closing = _STACKS[side], f"{side}.layer_norm."
    values = {name: value for name, value in theirs.items() if name.startswith(closing)}
    for number, parts in enumerate(chosen):
        for part, layer in parts.model_dump(exclude_none=True).items():
            prefix = f"{stack}.{layer - 1}."
            values |= {
                f"{stack}.{number}.{name.removeprefix(prefix)}": value
                for name, value in theirs.items()
                if name.startswith(prefix) and name.removeprefix(prefix).startswith(_PARTS[part])
            }
    return values


def _assign(mine: Weights, values: Weights) -> None:
    given: dict[int, str] = {}
    for name, value in values.items():
        first = given.setdefault(id(mine[name]), name)
        if not torch.equal(values[first], value):
            raise ModelError(
                f"the student cannot start from this teacher: its {first} and {name} are one matrix, the teacher's are "
                "two; set model.share_embeddings or model.tie_output to false"
            )
    with torch.no_grad():
        for name, value in values.items():
            mine[name].copy_(value)
