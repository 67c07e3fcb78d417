"""What an OpenNMT-py transformer computes inside, collected by forward hooks while it runs."""

from collections.abc import Callable, Collection
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from data.errors import ModelError
from stages.training.objective.layers import Shape, Stack

What = Literal["states", "attention", "cross_attention", "queries", "keys", "values"]
_LINEAR = {"queries": "linear_query", "keys": "linear_keys", "values": "linear_values"}


class Tap(NamedTuple):
    """One tensor of a forward pass: of a layer, counted from 1.

    states: the layer's output [B, T, D]. attention: self-attention's maps [B, H, T, T], in float32, before dropout.
    cross_attention: the decoder's maps [B, H, T, S]. queries, keys, values: what self-attention compares, [B, T, D].
    """

    what: What
    stack: Stack
    layer: int


class Taps:
    """Collects what it is told to watch; a module that is not watched has no hook."""

    def __init__(self, module: Any, *, in_training_only: bool = False) -> None:
        """`module`: an OpenNMT-py model. `in_training_only`: it collects nothing while the model is evaluated."""
        self._module, self._in_training_only = module, in_training_only
        self._handles: dict[Tap, Any] = {}
        self._collected: dict[Tap, Tensor] = {}

    def watch(self, wanted: Collection[Tap]) -> None:
        """From now on exactly these are collected; all others' hooks are removed."""
        for tap in self._handles.keys() - set(wanted):
            self._handles.pop(tap).remove()
        self._collected = {}
        for tap in wanted:
            if tap not in self._handles:
                self._handles[tap] = _place(self._module, tap).register_forward_hook(self._hook(tap))

    def take(self) -> dict[Tap, Tensor]:
        """What the last forward pass gave; it is kept no longer."""
        collected, self._collected = self._collected, {}
        return collected

    def _hook(self, tap: Tap) -> Callable[..., None]:
        def keep(module: object, arguments: object, output: Any) -> None:
            if self._in_training_only and not self._module.training:
                return
            value = output[0] if isinstance(output, tuple) else output
            # OpenNMT-py divides the queries in place, after the hook.
            self._collected[tap] = value.clone() if tap.what == "queries" else value

        return keep


def shape_of(module: Any) -> Shape:
    """The shape of an OpenNMT-py model; raises ModelError when its inside is none of a plain transformer's."""
    try:
        stacks = (module.encoder.transformer, module.decoder.transformer_layers)
        first = stacks[0][0].self_attn
        for tap in (
            Tap("attention", "encoder", 1),
            Tap("attention", "decoder", 1),
            Tap("cross_attention", "decoder", 1),
        ):
            _place(module, tap)
        return Shape(len(stacks[0]), len(stacks[1]), first.linear_query.in_features, first.head_count)
    except (AttributeError, IndexError) as error:
        raise ModelError(
            f"the model is no encoder-decoder transformer whose layers can be looked into: {error}"
        ) from None


def _place(module: Any, tap: Tap) -> Any:
    """The submodule whose output it is. The softmax's, as what attention returns may have a lower precision."""
    layers = module.encoder.transformer if tap.stack == "encoder" else module.decoder.transformer_layers
    layer = layers[tap.layer - 1]
    if tap.what == "states":
        return layer
    if tap.what == "cross_attention":
        return layer.context_attn.softmax
    return layer.self_attn.softmax if tap.what == "attention" else getattr(layer.self_attn, _LINEAR[tap.what])


def working(value: Tensor) -> torch.dtype:
    """In which a tensor of a model is compared with another."""
    return torch.float64 if value.dtype == torch.float64 else torch.float32
