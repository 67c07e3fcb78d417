"""What the hooks collect against the model's own layers, run one by one."""

import math

import pytest
import torch
from torch import Tensor

from data.errors import ModelError
from stages.training.dropout import Noise, replace_dropout
from stages.training.objective.layers import Shape
from stages.training.online.taps import Tap, Taps, shape_of
from tests.stages.training.online.models import LARGE, SMALL, batch_of, forward, model

WHATS = ("states", "attention", "queries", "keys", "values")
ALL = [
    *(Tap(what, stack, layer) for what in WHATS for stack in ("encoder", "decoder") for layer in (1, 2)),
    *(Tap("cross_attention", "decoder", layer) for layer in (1, 2)),
]


def heads(vectors: Tensor) -> Tensor:
    return vectors.unflatten(2, (SMALL.heads, -1)).transpose(1, 2)


def attention(queries: Tensor, keys: Tensor, hidden: Tensor) -> Tensor:
    """softmax(Q K' / sqrt(d)) where `hidden` [B, 1, T, S] is not."""
    products = heads(queries) @ heads(keys).transpose(2, 3) / math.sqrt(SMALL.width / SMALL.heads)
    return products.masked_fill(hidden, -math.inf).softmax(3)


def by_hand(module: torch.nn.Module, batch: dict[str, Tensor]) -> dict[Tap, Tensor]:
    """Every layer of a pre-norm transformer, from its weights."""
    found: dict[Tap, Tensor] = {}
    padded = (batch["src"][:, :, 0] == 1)[:, None, None, :]

    def self_attention(stack: str, number: int, part: torch.nn.Module, states: Tensor, hidden: Tensor) -> Tensor:
        linear = {"queries": part.linear_query, "keys": part.linear_keys, "values": part.linear_values}
        vectors = {what: states @ layer.weight.t() for what, layer in linear.items()}
        maps = attention(vectors["queries"], vectors["keys"], hidden)
        found.update({Tap(what, stack, number): value for what, value in {**vectors, "attention": maps}.items()})
        return (maps @ heads(vectors["values"])).transpose(1, 2).flatten(2) @ part.final_linear.weight.t()

    states = module.encoder.embeddings(batch["src"])
    for number, layer in enumerate(module.encoder.transformer, 1):
        states = states + self_attention("encoder", number, layer.self_attn, layer.layer_norm(states), padded)
        states = found[Tap("states", "encoder", number)] = layer.feed_forward(states)
    memory = module.encoder.layer_norm(states)
    given = batch["tgt"][:, :-1]
    length = given.shape[1]
    later = torch.ones(length, length).triu(1).bool()[None, None]
    states = module.decoder.embeddings(given)
    for number, layer in enumerate(module.decoder.transformer_layers, 1):
        states = states + self_attention("decoder", number, layer.self_attn, layer.layer_norm_1(states), later)
        part = layer.context_attn
        queries = layer.layer_norm_2(states) @ part.linear_query.weight.t()
        maps = attention(queries, memory @ part.linear_keys.weight.t(), padded)
        found[Tap("cross_attention", "decoder", number)] = maps
        read = (maps @ heads(memory @ part.linear_values.weight.t())).transpose(1, 2).flatten(2)
        states = layer.feed_forward(states + read @ part.final_linear.weight.t())
        found[Tap("states", "decoder", number)] = states
    return found


def counted(tap: Tap, value: Tensor, batch: dict[str, Tensor]) -> Tensor:
    """The rows of all positions that are no padding."""
    mask = batch["src"][:, :, 0] != 1 if tap.stack == "encoder" else batch["tgt"][:, 1:, 0] != 1
    return value.transpose(1, 2)[mask] if "attention" in tap.what else value[mask]


def test_taps_are_what_the_layers_compute() -> None:
    network, batch = model(), batch_of()
    taps = Taps(network.module)
    taps.watch(ALL)
    forward(network, batch)
    found, wanted = taps.take(), by_hand(network.module, batch)
    assert found.keys() == wanted.keys()
    for tap, value in wanted.items():
        torch.testing.assert_close(counted(tap, found[tap], batch), counted(tap, value, batch), msg=str(tap))


def test_only_what_is_watched_is_collected_and_no_longer_than_once() -> None:
    network, batch = model(), batch_of()
    taps = Taps(network.module)
    forward(network, batch)
    assert taps.take() == {}
    taps.watch(ALL[:3])
    forward(network, batch)
    taps.watch(ALL[2:4])
    assert taps.take() == {}
    forward(network, batch)
    assert taps.take().keys() == set(ALL[2:4])
    assert taps.take() == {}


def test_hooks_are_removed() -> None:
    network = model()
    taps = Taps(network.module)
    taps.watch(ALL)
    taps.watch(ALL)
    assert sum(len(part._forward_hooks) for part in network.module.modules()) == len(ALL)
    taps.watch([])
    assert not any(part._forward_hooks for part in network.module.modules())
    forward(network, batch_of())
    assert taps.take() == {}


def test_hooks_change_nothing() -> None:
    network, batch = model(), batch_of()
    before = forward(network, batch)
    Taps(network.module).watch(ALL)
    assert torch.equal(forward(network, batch), before)


def test_a_gradient_goes_through_them() -> None:
    network, batch = model(), batch_of()
    taps = Taps(network.module)
    taps.watch(ALL)
    forward(network, batch)
    for tap, value in taps.take().items():
        gradient = torch.autograd.grad(value.square().sum(), network.module.encoder.embeddings.word_lut.weight,
                                       retain_graph=True)[0]  # fmt: skip
        assert gradient.any(), tap


def test_nothing_is_collected_in_evaluation_where_only_training_counts() -> None:
    network, batch = model(), batch_of()
    taps = Taps(network.module, in_training_only=True)
    taps.watch(ALL)
    network.module.eval()
    forward(network, batch)
    assert taps.take() == {}
    network.module.train()
    forward(network, batch)
    assert taps.take().keys() == set(ALL)


@pytest.mark.parametrize("fast", [True, False])
def test_maps_are_those_before_dropout(fast: bool) -> None:
    network, batch = model(SMALL.model_copy(update={"attention_dropout": 0.5})), batch_of()
    if fast:
        replace_dropout(network.module, Noise(1))
    taps = Taps(network.module)
    taps.watch([tap for tap in ALL if "attention" in tap.what])
    network.module.train()
    forward(network, batch)
    for tap, maps in taps.take().items():
        torch.testing.assert_close(maps.sum(3), torch.ones_like(maps[..., 0]), msg=str(tap))


def test_maps_stay_in_float32_under_autocast() -> None:
    network, batch = model(), batch_of()
    taps = Taps(network.module)
    taps.watch(ALL)
    with torch.autocast("cpu", torch.bfloat16):
        forward(network, batch)
    found = taps.take()
    assert {tap.what for tap in ALL if found[tap].dtype == torch.float32} == {"states", "attention", "cross_attention"}


def test_the_shape_is_read_from_the_model() -> None:
    assert shape_of(model().module) == Shape.of(SMALL)
    assert shape_of(model(LARGE).module) == Shape.of(LARGE)


def test_another_model_is_refused() -> None:
    with pytest.raises(ModelError, match="no encoder-decoder transformer"):
        shape_of(torch.nn.Linear(2, 2))
