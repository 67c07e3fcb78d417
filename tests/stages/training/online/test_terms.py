"""Terms on real models: the right tensors, positions and weights, and no more work than was asked for."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from data.errors import ModelError
from stages.training.model import Transformer
from stages.training.objective.config import ObjectiveConfig
from stages.training.online.relations import relation_loss
from stages.training.online.taps import Tap, Taps
from stages.training.online.teacher import OnlineTeacher
from stages.training.online.terms import OnlineTerms
from tests.stages.training.online.models import LARGE, SMALL, VOCABULARY, batch_of, forward, model
from tests.stages.training.online.test_sentences import plain_angle, plain_distance

Formula = Callable[[Tensor, Tensor], Tensor]
STACKS = ("encoder", "decoder")
KINDS = ("encoder_self", "decoder_self", "cross")
ROW_LENGTHS = {"encoder": (4, 1, 2, 3), "decoder": (2, 5, 3, 4)}


def objective(**sections: Any) -> ObjectiveConfig:
    return ObjectiveConfig.model_validate(sections)


# One term of every option, those that have no zero left out.
EVERY = objective(
    features=[{"stack": stack, "distance": distance} for stack in STACKS for distance in ("mse", "cosine")],
    attention=[{"kind": kind, "divergence": divergence} for kind in KINDS for divergence in ("kl", "mse")],
    relations=[{"stack": stack} for stack in STACKS],
    sentences=[{"stack": stack, "relation": relation} for stack in STACKS for relation in ("distance", "angle")],
)


def teacher(network: Transformer) -> OnlineTeacher:
    return OnlineTeacher(network, VOCABULARY, VOCABULARY, bfloat16=False)


def terms_of(
    online: OnlineTerms, network: Transformer, asked: ObjectiveConfig, batch: dict[str, Any], step: int = 1
) -> dict[str, Tensor]:
    online.begin(asked, step)
    network.module.train()
    forward(network, batch)
    return online.terms(batch, asked, step)


def test_a_pair_that_the_teacher_is_not_for_has_no_terms() -> None:
    network = model()
    french = OnlineTeacher(model(LARGE), VOCABULARY, VOCABULARY, bfloat16=False, pairs=["fr-en"])
    online = OnlineTerms(network, french, [EVERY])
    of_pair = {pair: batch_of() | {"stream": f"hypothesis/{pair}"} for pair in ("fr-en", "de-en")}
    assert terms_of(online, network, EVERY, of_pair["de-en"]) == {}
    assert (
        terms_of(online, network, EVERY, of_pair["fr-en"]).keys() == terms_of(online, network, EVERY, batch_of()).keys()
    )


def compared(asked: ObjectiveConfig, batch: dict[str, Any] | None = None, large: Any = LARGE) -> dict[str, Tensor]:
    """All terms of a small student beside a large teacher."""
    network = model()
    torch.manual_seed(0)
    online = OnlineTerms(network, teacher(model(large, seed=1)), [asked])
    return terms_of(online, network, asked, batch or batch_of())


def states(network: Transformer, tap: Tap) -> Tensor:
    taps = Taps(network.module.eval())
    taps.watch([tap])
    forward(network, batch_of())
    return taps.take()[tap].detach().double()


def rows(values: Tensor, stack: str) -> Tensor:
    return torch.cat([values[row, :length] for row, length in enumerate(ROW_LENGTHS[stack])])


def test_a_student_that_is_its_teacher_costs_nothing() -> None:
    network = model()
    online = OnlineTerms(network, teacher(model()), [EVERY])
    assert not list(online.parameters())
    found = terms_of(online, network, EVERY, batch_of())
    assert len(found) == 16
    for name, value in found.items():
        assert float(value.detach()) == pytest.approx(0, abs=1e-6), name


def test_another_teacher_costs_something_whatever_is_compared() -> None:
    asked = EVERY.model_copy(update={"contrastive": objective(contrastive=[{}]).contrastive})
    found = compared(asked)
    assert len(found) == 17
    assert all(float(value.detach()) > 1e-6 for value in found.values())


def squares(ours: Tensor, theirs: Tensor) -> Tensor:
    return (ours - theirs).square().mean(1)


def turned_away(ours: Tensor, theirs: Tensor) -> Tensor:
    return 1 - (ours * theirs).sum(1) / (ours.norm(dim=1) * theirs.norm(dim=1))


@pytest.mark.parametrize("stack", STACKS)
@pytest.mark.parametrize(("distance", "formula"), [("mse", squares), ("cosine", turned_away)])
def test_features_of_chosen_layers_with_a_projection(stack: str, distance: str, formula: Formula) -> None:
    asked = objective(features=[{"stack": stack, "layers": [[1, 2], [2, 3]], "weight": 0.3, "distance": distance}])
    network = model()
    online = OnlineTerms(network, teacher(model(LARGE, seed=1)), [asked])
    (found,) = terms_of(online, network, asked, batch_of()).values()
    maps = dict(online.named_parameters())
    wanted = []
    for ours, theirs in ((1, 2), (2, 3)):
        (weight,) = [value.detach().double() for name, value in maps.items() if f"_{ours}_{theirs}." in name]
        projected = rows(states(model(), Tap("states", stack, ours)), stack) @ weight.t()
        goal = rows(states(model(LARGE, seed=1), Tap("states", stack, theirs)), stack)
        wanted.append(formula(projected, goal).mean())
    assert float(found.detach()) == pytest.approx(0.3 * float(sum(wanted)) / 2, rel=1e-5)


def means_of_sentences(stack: str) -> tuple[Tensor, Tensor]:
    """Of student and teacher over the positions of each row that are none of padding, [4, width]."""
    last = LARGE.encoder_layers if stack == "encoder" else LARGE.decoder_layers
    both = states(model(), Tap("states", stack, 2)), states(model(LARGE, seed=1), Tap("states", stack, last))
    lengths = ROW_LENGTHS[stack]
    first, second = (torch.stack([held[row, :n].mean(0) for row, n in enumerate(lengths)]) for held in both)
    return first, second


@pytest.mark.parametrize("stack", STACKS)
def test_contrast_is_between_projected_means_of_sentences(stack: str) -> None:
    asked = objective(contrastive=[{"stack": stack, "temperature": 0.5}])
    network = model()
    online = OnlineTerms(network, teacher(model(LARGE, seed=1)), [asked])
    (found,) = terms_of(online, network, asked, batch_of()).values()
    (weight,) = online.parameters()
    means = means_of_sentences(stack)
    ours = [weight.detach().double() @ each for each in means[0]]
    cosines = [[a @ b / (a.norm() * b.norm()) / 0.5 for b in means[1]] for a in ours]
    wanted = sum(torch.stack(row).logsumexp(0) - row[own] for own, row in enumerate(cosines)) / 4
    assert float(found.detach()) == pytest.approx(float(wanted), rel=1e-5)


@pytest.mark.parametrize("stack", STACKS)
@pytest.mark.parametrize("most", [3, 99])
@pytest.mark.parametrize(("relation", "formula"), [("distance", plain_distance), ("angle", plain_angle)])
def test_relations_are_between_means_of_sentences_as_many_as_are_asked_for(
    stack: str, most: int, relation: str, formula: Formula
) -> None:
    term = {"stack": stack, "relation": relation, "most_sentences": most}
    (found,) = compared(objective(sentences=[term])).values()
    chosen = list(range(min(most, 4)))
    ours, theirs = (means[chosen] for means in means_of_sentences(stack))
    assert float(found.detach()) == pytest.approx(float(formula(ours, theirs)), rel=1e-5)


def test_relation_heads_follow_the_recipe() -> None:
    """Two heads of relations are not four; the student's own number is the default."""
    default, two, four = (
        float(compared(objective(relations=[term]))["relations_encoder"].detach())
        for term in ({}, {"heads": 2}, {"heads": 4})
    )
    assert default == two != four


@pytest.mark.parametrize("stack", STACKS)
def test_relations_look_ahead_in_the_encoder_alone(stack: str) -> None:
    (found,) = compared(objective(relations=[{"stack": stack, "relations": ["keys"]}])).values()
    ours = states(model(), Tap("keys", stack, 2))
    theirs = states(model(LARGE, seed=1), Tap("keys", stack, LARGE.encoder_layers if stack == "encoder" else 3))
    counted = torch.arange(ours.shape[1]) < torch.tensor(ROW_LENGTHS[stack])[:, None]
    wanted = relation_loss(ours, theirs, counted, SMALL.heads, causal=stack == "decoder")
    assert float(found.detach()) == pytest.approx(float(wanted), rel=1e-4)


def information_gap(ours: Tensor, theirs: Tensor) -> Tensor:
    ratios = theirs.clamp_min(1e-300) / ours.clamp_min(1e-300)
    return torch.where(theirs > 0, theirs * ratios.log(), 0.0).sum(3)


def squared_gap(ours: Tensor, theirs: Tensor) -> Tensor:
    return (ours - theirs).square().sum(3)


GAPS = [("kl", information_gap), ("mse", squared_gap)]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("divergence", "formula"), GAPS)
def test_attention_is_compared_head_by_head_where_their_numbers_are_equal(
    kind: str, divergence: str, formula: Formula
) -> None:
    large = LARGE.model_copy(update={"heads": 2})
    asked = objective(attention=[{"kind": kind, "divergence": divergence, "layers": [[1, 3]]}])
    (found,) = compared(asked, large=large).values()
    what, stack = "cross_attention" if kind == "cross" else "attention", kind.removesuffix("_self")
    stack = stack.replace("cross", "decoder")
    ours, theirs = states(model(), Tap(what, stack, 1)), states(model(large, seed=1), Tap(what, stack, 3))
    wanted = rows(formula(ours, theirs).mean(1), stack).mean()
    assert float(found.detach()) == pytest.approx(float(wanted), rel=1e-5)


@pytest.mark.parametrize("unequal_heads", ["mean", "learned"])
@pytest.mark.parametrize(("divergence", "formula"), GAPS)
def test_heads_that_differ_are_averaged_or_mixed(unequal_heads: str, divergence: str, formula: Formula) -> None:
    term = {"kind": "cross", "unequal_heads": unequal_heads, "layers": "last", "divergence": divergence}
    asked = objective(attention=[term])
    network = model()
    online = OnlineTerms(network, teacher(model(LARGE, seed=1)), [asked])
    (found,) = terms_of(online, network, asked, batch_of()).values()
    assert [tuple(each.shape) for each in online.parameters()] == ([(3, 2)] if unequal_heads == "learned" else [])
    ours = states(model(), Tap("cross_attention", "decoder", 2)).mean(1, keepdim=True)
    theirs = states(model(LARGE, seed=1), Tap("cross_attention", "decoder", 3))
    theirs = theirs if unequal_heads == "learned" else theirs.mean(1, keepdim=True)
    # A mixture begins as the mean, so each head of the teacher is compared with that.
    gaps = formula(ours, theirs).mean(1)
    assert float(found.detach()) == pytest.approx(float(rows(gaps, "decoder").mean()), rel=1e-5)


def test_a_learned_mixture_of_heads_is_compared_and_learns_by_the_formula() -> None:
    asked = objective(attention=[{"kind": "cross", "unequal_heads": "learned", "layers": "last"}])
    network = model()
    online = OnlineTerms(network, teacher(model(LARGE, seed=1)), [asked])
    (logits,) = online.parameters()
    with torch.no_grad():
        logits.copy_(torch.tensor([[0.5, -1.0], [2.0, 0.3], [-0.4, 0.1]]))
    (found,) = terms_of(online, network, asked, batch_of()).values()
    (gradient,) = torch.autograd.grad(found, logits)

    ours = states(model(), Tap("cross_attention", "decoder", 2))
    theirs = states(model(LARGE, seed=1), Tap("cross_attention", "decoder", 3))
    plain = logits.detach().double().requires_grad_()
    powers = plain.exp()
    parts = [powers[:, head] / (powers[:, 0] + powers[:, 1]) for head in range(2)]
    mixed = [torch.stack([part[head] * ours[:, own] for own, part in enumerate(parts)]).sum(0) for head in range(3)]
    wanted = rows(information_gap(torch.stack(mixed, 1), theirs).mean(1), "decoder").mean()
    (wanted_gradient,) = torch.autograd.grad(wanted, plain)
    assert float(found.detach()) == pytest.approx(float(wanted.detach()), rel=1e-5)
    torch.testing.assert_close(gradient.double(), wanted_gradient, rtol=1e-4, atol=1e-7)


def test_more_padding_changes_no_term() -> None:
    found, wider = compared(EVERY), compared(EVERY, batch_of(wider=3))
    for name, value in found.items():
        torch.testing.assert_close(wider[name], value, rtol=1e-5, atol=1e-7, msg=name)


def test_a_batch_costs_the_mean_over_the_positions_of_its_rows() -> None:
    asked = EVERY.model_copy(update={"sentences": ()})
    found = compared(asked)
    single = [compared(asked, batch_of(row)) for row in range(4)]
    for name, value in found.items():
        lengths = ROW_LENGTHS["encoder" if "encoder" in name else "decoder"]
        wanted = sum(length * row[name] for length, row in zip(lengths, single, strict=True)) / sum(lengths)
        torch.testing.assert_close(value, wanted, rtol=1e-5, atol=1e-7, msg=name)


def test_gradients_reach_the_student_and_the_maps_and_not_the_teacher() -> None:
    asked = objective(features=[{}], attention=[{"unequal_heads": "learned"}], relations=[{}])
    network, other = model(), model(LARGE, seed=1)
    online = OnlineTerms(network, teacher(other), [asked])
    sum(terms_of(online, network, asked, batch_of()).values()).backward()
    assert network.module.encoder.transformer[0].self_attn.linear_query.weight.grad.any()
    assert len(list(online.parameters())) == 4
    assert all(each.grad is not None and each.grad.any() for each in online.parameters())
    assert all(each.grad is None for each in other.module.parameters())
    assert network.module.decoder.layer_norm.weight.grad is None


class Counting(OnlineTeacher):
    runs = 0

    def collect(self, *arguments: Any) -> dict[Tap, Tensor]:
        self.runs += 1
        return super().collect(*arguments)


def hooks(network: Transformer) -> int:
    return sum(len(part._forward_hooks) for part in network.module.modules())


def test_a_term_costs_nothing_in_steps_that_do_not_weigh_it() -> None:
    later = {"start": 0, "end": 0.5, "course": "step", "until": 3}
    asked = objective(features=[{"weight": later}], relations=[{"weight": 0}])
    network = model()
    beside = Counting(model(LARGE, seed=1), VOCABULARY, VOCABULARY, bfloat16=False)
    online = OnlineTerms(network, beside, [asked])
    assert terms_of(online, network, asked, batch_of(), step=2) == {}
    assert (hooks(network), beside.runs) == (0, 0)
    found = terms_of(online, network, asked, batch_of(), step=3)
    assert found.keys() == {"features_encoder"}
    assert (hooks(network), beside.runs) == (2, 1)
    online.begin(asked, 2)
    assert hooks(network) == 0


def test_the_teacher_runs_once_for_all_terms() -> None:
    network = model()
    beside = Counting(model(LARGE, seed=1), VOCABULARY, VOCABULARY, bfloat16=False)
    terms_of(OnlineTerms(network, beside, [EVERY]), network, EVERY, batch_of())
    assert beside.runs == 1


def test_a_weight_is_the_schedules_value_in_its_step() -> None:
    asked = objective(features=[{"weight": {"start": 1, "end": 3, "until": 4}}])
    network = model()
    online = OnlineTerms(network, teacher(model(LARGE, seed=1)), [asked])
    one, two = (terms_of(online, network, asked, batch_of(), step)["features_encoder"] for step in (2, 4))
    torch.testing.assert_close(two, 1.5 * one)


def test_all_phases_share_the_maps_between_the_same_layers() -> None:
    first = objective(features=[{"layers": "last"}, {"layers": "last", "distance": "cosine"}])
    second = objective(features=[{"layers": "last", "weight": 2.0}, {"layers": [[1, 1]]}])
    online = OnlineTerms(model(), teacher(model(LARGE)), [first, second])
    assert [tuple(each.shape) for each in online.parameters()] == [(24, 16), (24, 16)]


def test_the_state_holds_the_maps_and_nothing_of_a_model() -> None:
    online = OnlineTerms(model(), teacher(model(LARGE)), [objective(features=[{}])])
    assert sum(value.numel() for value in online.state_dict().values()) == 2 * 24 * 16


def test_what_does_not_fit_is_told_at_once() -> None:
    asked = objective(features=[{"layers": [[1, 5]]}], relations=[{"heads": 16}])
    with pytest.raises(ModelError, match=r"objective\.features\[0\].*layer 5.*objective\.relations\[0\].*width 24"):
        OnlineTerms(model(SMALL), teacher(model(LARGE)), [asked])
