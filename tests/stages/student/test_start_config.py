"""Which layers a student starts from, by hand; and what is told before anything is trained."""

import pytest
from pydantic import ValidationError

from stages.student.start_config import SIDES, LayerParts, StartConfig, spread
from stages.training.config import ModelConfig

TEACHER = ModelConfig(encoder_layers=6, decoder_layers=3, width=64, heads=4, feed_forward=128)
STUDENT = TEACHER.model_copy(update={"encoder_layers": 3, "decoder_layers": 2})


@pytest.mark.parametrize(
    ("layers", "of", "expected"),
    [
        # The table of https://arxiv.org/abs/2010.13002, counted from 1.
        (6, 12, (1, 3, 5, 8, 10, 12)),
        (3, 12, (1, 7, 12)),
        (3, 6, (1, 3, 6)),
        (2, 6, (1, 6)),
        (1, 12, (1,)),
        (12, 12, tuple(range(1, 13))),
        (1, 1, (1,)),
        # A deeper student.
        (6, 3, (1, 1, 2, 2, 3, 3)),
    ],
)
def test_layers_are_evenly_spread_by_default(layers: int, of: int, expected: tuple[int, ...]) -> None:
    assert spread(layers, of) == expected


def test_each_side_has_its_own_map() -> None:
    start = StartConfig(decoder_layers=(3, 3))
    encoder, decoder = (start.layers(side, STUDENT, TEACHER) for side in SIDES)
    assert encoder == tuple(LayerParts(self_attention=number, feed_forward=number) for number in (1, 3, 6))
    assert decoder == (LayerParts(self_attention=3, cross_attention=3, feed_forward=3),) * 2
    assert StartConfig(encoder_layers=()).layers("encoder", STUDENT, TEACHER) == ()
    assert StartConfig(embeddings="svd").layers("encoder", STUDENT, TEACHER) == ()


@pytest.mark.parametrize("start", [{}, {"encoder_layers": [6, 2, 2], "decoder_layers": []}])
def test_what_fits_has_no_faults(start: dict[str, object]) -> None:
    config = StartConfig.model_validate(start)
    assert config.faults(STUDENT, TEACHER) == config.faults(STUDENT, None) == []
    narrow = STUDENT.model_copy(update={"width": 32, "heads": 2, "feed_forward": 64})
    assert StartConfig(embeddings="svd").faults(narrow, TEACHER) == []


@pytest.mark.parametrize(
    ("start", "student", "fault"),
    [
        ({"encoder_layers": [1, 2]}, {}, "start.encoder_layers: names 2 layers for the 3 of the student's encoder"),
        ({"decoder_layers": [1, 4]}, {}, "start.decoder_layers: names layer 4, but the teacher's decoder has 3"),
        ({}, {"width": 32}, "model.width: is 32, the teacher's 64"),
        ({"encoder_layers": [], "decoder_layers": []}, {"width": 32}, "start.embeddings to 'svd'"),
        ({}, {"width": 128}, "set it to 64"),
        ({}, {"heads": 8}, "model.heads: is 8, the teacher's 4"),
        ({}, {"feed_forward": 64}, "model.feed_forward: is 64, the teacher's 128"),
        ({"embeddings": "svd"}, {}, "start.embeddings: 'svd' makes embeddings narrower, but the student's width is 64"),
        ({"embeddings": "svd"}, {"width": 128}, "lower model.width"),
    ],
)
def test_what_does_not_fit_is_named_with_its_key(start: dict[str, object], student: dict[str, int], fault: str) -> None:
    [found] = StartConfig.model_validate(start).faults(STUDENT.model_copy(update=student), TEACHER)
    assert fault in found


def test_layers_that_stay_fresh_may_have_another_shape() -> None:
    student = STUDENT.model_copy(update={"heads": 8, "feed_forward": 32})
    assert StartConfig(encoder_layers=(), decoder_layers=()).faults(student, TEACHER) == []


def test_a_tied_output_cannot_start_as_two_matrices() -> None:
    untied = TEACHER.model_copy(update={"tie_output": False})
    [fault] = StartConfig().faults(STUDENT, untied)
    assert fault.startswith("model.tie_output: ")
    assert StartConfig().faults(STUDENT.model_copy(update={"tie_output": False}), TEACHER) == []


def test_the_number_of_layers_is_checked_without_a_teacher() -> None:
    start = StartConfig(encoder_layers=(1,), decoder_layers=(1, 9))
    [fault] = start.faults(STUDENT, None)
    assert fault.startswith("start.encoder_layers: names 1 layers for the 3")


@pytest.mark.parametrize(
    ("start", "fault"),
    [
        (
            {"embeddings": "svd", "decoder_layers": [1]},
            "decoder_layers: embeddings = 'svd' is for a student of another",
        ),
        ({"encoder_layers": [0]}, "greater than or equal to 1"),
        ({"layers": [1]}, "Extra inputs"),
    ],
)
def test_faulty_options_are_named(start: dict[str, object], fault: str) -> None:
    with pytest.raises(ValidationError, match=fault):
        StartConfig.model_validate(start)
