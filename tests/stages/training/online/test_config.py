"""What a recipe may say of online terms, and what is told of terms that fit no model."""

from typing import Any

import pytest
from pydantic import ValidationError

from stages.training.config import ModelConfig
from stages.training.data_config import step_without_weight
from stages.training.objective.config import ObjectiveConfig
from stages.training.objective.layers import Shape, layer_pairs
from stages.training.online.faults import online_faults

STUDENT = Shape.of(ModelConfig(encoder_layers=2, decoder_layers=1, width=12, heads=2))
TEACHER = Shape(6, 3, 20, 4)
ADVICE = "choose a divisor of both widths"


def objective(**sections: Any) -> ObjectiveConfig:
    return ObjectiveConfig.model_validate(sections)


@pytest.mark.parametrize(
    ("layers", "student", "teacher", "pairs"),
    [
        ("uniform", 6, 12, ((1, 2), (2, 4), (3, 6), (4, 8), (5, 10), (6, 12))),
        ("uniform", 2, 6, ((1, 3), (2, 6))),
        ("uniform", 4, 6, ((1, 2), (2, 3), (3, 5), (4, 6))),
        ("uniform", 3, 3, ((1, 1), (2, 2), (3, 3))),
        ("last", 2, 6, ((2, 6),)),
        (((1, 4), (1, 5)), 2, 6, ((1, 4), (1, 5))),
    ],
)
def test_layer_maps(layers: Any, student: int, teacher: int, pairs: Any) -> None:
    assert layer_pairs(layers, student, teacher) == pairs


@pytest.mark.parametrize(
    ("term", "fault"),
    [
        ({"layers": "all"}, "'uniform' or 'last'"),
        ({"layers": []}, "at least one pair"),
        ({"layers": [[0, 1]]}, "greater than or equal to 1"),
        ({"layers": [[1]]}, "Field required"),
        ({"weight": -1}, "at least 0 in every step"),
        ({"weight": {"start": 1, "end": -1, "until": 5}}, "at least 0 in every step"),
        ({"layer": "last"}, "Extra inputs"),
    ],
)
def test_faulty_terms_are_named(term: dict[str, Any], fault: str) -> None:
    with pytest.raises(ValidationError, match=fault) as raised:
        objective(features=[term])
    assert raised.value.error_count() == 1


def test_layers_and_heads_that_no_model_has_are_faults_as_soon_as_it_is_known() -> None:
    asked = objective(
        features=[{"layers": [[1, 2], [3, 7]]}, {"layers": [[2, 6]]}],
        attention=[{"kind": "cross", "layers": [[2, 2], [2, 3]]}],
        relations=[{"heads": 6}, {"heads": 5}],
    )
    early = online_faults(asked, STUDENT)
    assert early == [
        "features[0].layers: the student's encoder has 2 layers, and layer 3 is asked for",
        "attention[0].layers: the student's decoder has 1 layers, and layer 2 is asked for",
        f"relations[1].heads: the student's width 12 does not divide into 5 relation heads; {ADVICE}",
    ]
    assert set(online_faults(asked, STUDENT, TEACHER)) - set(early) == {
        "features[0].layers: the teacher's encoder has 6 layers, and layer 7 is asked for",
        f"relations[0].heads: the teacher's width 20 does not divide into 6 relation heads; {ADVICE}",
    }


def test_relation_heads_are_by_default_the_students() -> None:
    asked = objective(relations=[{}])
    assert online_faults(asked, STUDENT, TEACHER) == []
    assert len(online_faults(asked, STUDENT, Shape(6, 3, 21, 3))) == 1


def test_terms_have_names_of_their_own() -> None:
    asked = objective(
        features=[{}, {"stack": "decoder"}, {"distance": "cosine"}],
        attention=[{"kind": "decoder_self"}],
        relations=[{}],
        sentences=[{"relation": "angle"}],
        contrastive=[{}],
    )
    assert [(named.key, named.name) for named in asked.online_terms()] == [
        ("features[0]", "features_encoder"),
        ("features[1]", "features_decoder"),
        ("features[2]", "features_encoder_2"),
        ("attention[0]", "attention_decoder_self"),
        ("relations[0]", "relations_encoder"),
        ("sentences[0]", "sentences_encoder_angle"),
        ("contrastive[0]", "contrastive_encoder"),
    ]


def test_a_teacher_is_needed_where_a_term_weighs_something_in_some_step() -> None:
    assert not ObjectiveConfig().needs_online_teacher()
    assert not objective(features=[{"weight": 0}]).needs_online_teacher()
    assert objective(features=[{"weight": {"start": 0, "end": 1, "until": 5}}]).needs_online_teacher()


def test_online_terms_are_something_to_learn_from() -> None:
    nothing = {"cross_entropy": 0, "soft_targets": {"weight": 0}}
    assert step_without_weight("hypothesis", "hypothesis", objective(**nothing), 1, 9) == 1
    assert step_without_weight("hypothesis", "hypothesis", objective(**nothing, contrastive=[{}]), 1, 9) is None
