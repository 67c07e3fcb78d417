"""Direct transfer, against the teacher itself, a teacher with layers taken out by hand, and numpy's SVD in float64."""

from collections.abc import Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from data.errors import ModelError
from stages.student.start import starting_from, transfer
from stages.student.start_config import StartConfig
from stages.training.checkpoint import save_model
from stages.training.config import ModelConfig
from stages.training.model import Transformer, build_transformer
from stages.training.vocabulary import SPECIALS, Vocabulary

WORDS = tuple(f"a{number}" for number in range(40))
TEACHER = ModelConfig(encoder_layers=6, decoder_layers=3, width=16, heads=2, feed_forward=24)
SENTENCES = (("a3", "a0", "a39", "a7"), ("a1", "a1"))
TARGETS = (("a5", "a17"), ("a2", "a38", "a30"))


def model(
    seed: int, *, words: Sequence[str] = WORDS, source: Sequence[str] | None = None, **changes: Any
) -> Transformer:
    """A random model with biases and norms that are random, too; `source`: words of a source vocabulary of its own."""
    torch.manual_seed(seed)
    target = Vocabulary.from_tokens(words)
    config = ModelConfig.model_validate(TEACHER.model_dump() | changes)
    made = build_transformer(config, Vocabulary.from_tokens(source) if source else target, target, "cpu")
    for parameter in made.module.parameters():
        if parameter.dim() == 1:
            parameter.data += 0.3 * torch.randn_like(parameter)
    made.module.eval()
    return made


def logits(made: Transformer, module: Any = None) -> Tensor:
    """Raw, teacher forced, [B, T, V]."""
    module = made.module if module is None else module
    src = padded(made.source_vocabulary, SENTENCES)
    tgt = padded(made.target_vocabulary, [("<s>", *row, "</s>") for row in TARGETS])
    with torch.no_grad():
        output, _ = module(src, tgt, torch.tensor([len(row) for row in SENTENCES]))
        return module.generator(output)  # type: ignore[no-any-return]


def padded(vocabulary: Vocabulary, rows: Sequence[Sequence[str]]) -> Tensor:
    longest = max(map(len, rows))
    full = [[*row, *["<blank>"] * (longest - len(row))] for row in rows]
    return torch.tensor([[vocabulary.tokens.index(token) for token in row] for row in full]).unsqueeze(2)


def weights(made: Transformer) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in made.module.state_dict().items()}


@pytest.mark.parametrize(
    "shape",
    [
        {},
        {"tie_output": False},
        {"share_embeddings": False, "tie_output": False},
        {"source": ("a9", *WORDS[::2], *WORDS[1::2])},
    ],
)
def test_a_student_with_all_layers_has_the_teachers_logits(shape: dict[str, Any]) -> None:
    teacher, student = model(1, **shape), model(2, **shape)
    assert not torch.equal(logits(student), logits(teacher))
    transfer(student, teacher, StartConfig())
    assert torch.equal(logits(student), logits(teacher))


def test_ids_in_another_order_are_matched_by_token() -> None:
    teacher = model(1, source=WORDS, tie_output=False)
    student = model(2, words=WORDS[::-1], source=WORDS[7:] + WORDS[:7], tie_output=False)
    transfer(student, teacher, StartConfig())
    columns = [student.target_vocabulary.tokens.index(token) for token in teacher.target_vocabulary.tokens]
    torch.testing.assert_close(logits(student)[:, :, columns], logits(teacher), rtol=0, atol=2e-6)


def test_a_chosen_map_is_a_teacher_with_layers_left_out() -> None:
    teacher, student = model(1), model(2, encoder_layers=3, decoder_layers=2)
    short = deepcopy(teacher.module)
    encoder, decoder = short.encoder, short.decoder
    encoder.transformer = torch.nn.ModuleList([encoder.transformer[layer] for layer in (0, 2, 5)])
    decoder.transformer_layers = torch.nn.ModuleList([decoder.transformer_layers[layer] for layer in (2, 0)])
    transfer(student, teacher, StartConfig(decoder_layers=(3, 1)))
    assert torch.equal(logits(student), logits(teacher, short))


def test_parts_of_several_layers_are_a_teacher_whose_layer_was_put_together_by_hand() -> None:
    teacher, student = model(1), model(2, encoder_layers=1, decoder_layers=1)
    short = deepcopy(teacher.module)
    encoder, decoder = short.encoder, short.decoder
    source, target = encoder.transformer, decoder.transformer_layers
    made, mixed = source[1], target[0]
    made.feed_forward = source[4].feed_forward
    mixed.context_attn, mixed.layer_norm_2, mixed.feed_forward = (
        target[1].context_attn,
        target[1].layer_norm_2,
        target[2].feed_forward,
    )
    encoder.transformer = torch.nn.ModuleList([made])
    decoder.transformer_layers = torch.nn.ModuleList([mixed])
    start = StartConfig.model_validate(
        {
            "encoder_layers": [{"self_attention": 2, "feed_forward": 5}],
            "decoder_layers": [{"self_attention": 1, "cross_attention": 2, "feed_forward": 3}],
        }
    )
    transfer(student, teacher, start)
    assert torch.equal(logits(student), logits(teacher, short))


@pytest.mark.parametrize(
    ("side", "layer", "fault"),
    [
        ("decoder", {"self_attention": 1, "feed_forward": 1}, r"decoder_layers\[0\]\.cross_attention: required"),
        (
            "encoder",
            {"self_attention": 1, "cross_attention": 1, "feed_forward": 1},
            r"encoder_layers\[0\]\.cross_attention: an encoder has none",
        ),
        ("encoder", {"self_attention": 0, "feed_forward": 1}, "greater than or equal to 1"),
        ("encoder", "first", "valid dictionary"),
    ],
)
def test_faulty_parts_are_told(side: str, layer: object, fault: str) -> None:
    with pytest.raises(ValidationError, match=fault):
        StartConfig.model_validate({f"{side}_layers": [layer]})


def test_a_part_of_a_layer_that_the_teacher_lacks_is_told() -> None:
    start = StartConfig.model_validate({"encoder_layers": [{"self_attention": 1, "feed_forward": 7}]})
    student = TEACHER.model_copy(update={"encoder_layers": 1})
    assert start.faults(student, TEACHER) == ["start.encoder_layers: names layer 7, but the teacher's encoder has 6"]


def test_layers_may_stay_fresh() -> None:
    teacher, student = model(1), model(2, encoder_layers=2, decoder_layers=1)
    before = weights(student)
    transfer(student, teacher, StartConfig(encoder_layers=(), decoder_layers=(2,)))
    after, given = weights(student), weights(teacher)
    for name, value in after.items():
        if name.startswith(("encoder.transformer", "encoder.layer_norm")):
            assert torch.equal(value, before[name])
        else:
            assert torch.equal(value, given[name.replace("transformer_layers.0", "transformer_layers.1")])


def best_approximation(matrix: Tensor, rank: int) -> npt.NDArray[np.float64]:
    left, singular, right = np.linalg.svd(matrix.double().numpy(), full_matrices=False)
    return np.asarray((left[:, :rank] * singular[:rank]) @ right[:rank])


@pytest.mark.parametrize("tied", [True, False])
def test_narrow_embeddings_are_the_best_of_their_rank(tied: bool) -> None:
    teacher = model(1, tie_output=tied)
    student = model(2, words=WORDS[::-1], width=8, encoder_layers=1, decoder_layers=1, tie_output=tied)
    before = weights(student)
    transfer(student, teacher, StartConfig(embeddings="svd"))
    after = weights(student)
    rows = [student.target_vocabulary.tokens.index(token) for token in teacher.target_vocabulary.tokens]
    places = [name for name in after if "emb_luts" in name or name == "generator.weight"]
    for name in places:
        found, given = after[name][rows].double().numpy(), weights(teacher)[name]
        best = best_approximation(given, 8)
        np.testing.assert_allclose(found @ found.T, best @ best.T, atol=1e-5)
        # The teacher's rows can be read out of the narrow ones as well as out of any eight numbers.
        back = found @ np.linalg.lstsq(found, given.double().numpy(), rcond=None)[0]
        np.testing.assert_allclose(back, best, atol=1e-5)
    assert len(places) == 3
    assert torch.equal(after["generator.bias"][rows], weights(teacher)["generator.bias"])
    changed = {name for name, value in after.items() if not torch.equal(value, before[name])}
    assert changed == {*places, "generator.bias"}


def test_a_token_that_the_teacher_lacks_keeps_its_own_row() -> None:
    teacher, student = model(1), model(2, words=("<to-de>", *WORDS))
    before = weights(student)["generator.weight"]
    transfer(student, teacher, StartConfig())
    after, given = weights(student)["generator.weight"], weights(teacher)["generator.weight"]
    new = student.target_vocabulary.tokens.index("<to-de>")
    assert torch.equal(after[new], before[new])
    assert torch.equal(after[new + 1], given[new])


@pytest.mark.parametrize(
    ("teacher", "student", "fault"),
    [
        ({}, {"words": WORDS[3:]}, r"3 of 44 tokens of the teacher's source vocabulary .* such as 'a0'"),
        ({}, {"words": WORDS[3:], "source": WORDS}, "3 of 44 tokens of the teacher's target vocabulary"),
        ({"tie_output": False}, {}, r"model\.tie_output: .* set it to false"),
        ({"share_embeddings": False}, {}, r"its encoder\.embeddings\S+ and decoder\.embeddings\S+ are one matrix"),
        ({"width": 32}, {}, r"model\.width: is 16, the teacher's 32"),
        ({"heads": 4}, {"width": 16}, r"model\.heads: is 2, the teacher's 4"),
    ],
)
def test_models_that_do_not_fit_are_an_error_and_change_nothing(
    teacher: dict[str, Any], student: dict[str, Any], fault: str
) -> None:
    made = model(2, **student)
    before = weights(made)
    with pytest.raises(ModelError, match=fault):
        transfer(made, model(1, **teacher), StartConfig())
    assert all(torch.equal(value, before[name]) for name, value in weights(made).items())


@pytest.mark.parametrize(
    ("option", "value", "fault"),
    [
        ("pos_ffn_activation_fn", "gelu", "pos_ffn_activation_fn is 'gelu' and the student's 'relu'"),
        ("self_attn_type", "average", "self_attn_type is 'average' and the student's 'scaled-dot'"),
        ("max_relative_positions", 20, "max_relative_positions is 20"),
    ],
)
def test_layers_of_another_kind_are_not_copied(option: str, value: object, fault: str) -> None:
    teacher, student = model(1), model(2)
    setattr(teacher.options, option, value)
    with pytest.raises(ModelError, match=fault):
        transfer(student, teacher, StartConfig())
    transfer(student, teacher, StartConfig(encoder_layers=(), decoder_layers=()))


def test_a_language_model_is_no_start() -> None:
    teacher = model(1)
    teacher.options.model_task = "lm"
    with pytest.raises(ModelError, match="take an encoder-decoder teacher"):
        transfer(model(2), teacher, StartConfig(encoder_layers=(), decoder_layers=()))


def test_attention_that_is_only_computed_otherwise_is_the_same_kind() -> None:
    teacher = model(1)
    teacher.options.self_attn_type = "scaled-dot-flash"
    transfer(model(2), teacher, StartConfig())


def test_it_reads_the_teachers_checkpoint(tmp_path: Path) -> None:
    teacher, student = model(1), model(2, words=(*SPECIALS, *WORDS))
    save_model(tmp_path / "checkpoint.pt", teacher)
    starting_from(tmp_path / "checkpoint.pt", StartConfig())(student)
    assert torch.equal(logits(student), logits(teacher))
    # The teacher is read without dropout; who learns has its own.
    assert TEACHER.dropout > 0
    assert {part.p for part in student.module.modules() if isinstance(part, torch.nn.Dropout)} == {TEACHER.dropout}
    assert {part.dropout_p for part in student.module.modules() if hasattr(part, "dropout_p")} == {TEACHER.dropout}
    with pytest.raises(ModelError, match="cannot be read"):
        starting_from(tmp_path / "nothing.pt", StartConfig())(student)


def test_a_teacher_whose_targets_begin_otherwise_is_refused() -> None:
    teacher = model(1)
    teacher.options.decoder_start_token = "</s>"  # noqa: S105
    with pytest.raises(ModelError, match="begin with '</s>' and the student's with '<s>'"):
        transfer(model(2), teacher, StartConfig())
