"""Presets: the field's shapes, what a recipe may set beside them, and how large they are."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from stages.student.stage import Config
from stages.teacher import stage as teacher
from stages.training.vocabulary import Vocabulary

# Weights of Marian's models of the shape, with SSRU in the place of self-attention in the decoder, at 32,000 pieces.
SHAPES = {"tiny": (6, 2, 256, 8, 1536), "base": (6, 2, 512, 8, 2048), "base-memory": (6, 4, 384, 8, 1536)}


@pytest.mark.parametrize("name", SHAPES)
def test_a_line_is_a_whole_student(name: str) -> None:
    config = Config.model_validate({"model": {"preset": name}})
    model, optimiser = config.model, config.optimiser
    found = (model.encoder_layers, model.decoder_layers, model.width, model.heads, model.feed_forward)
    assert found == SHAPES[name]
    rate = (optimiser.schedule, optimiser.learning_rate, optimiser.warmup_steps, optimiser.hold_steps)
    assert rate == ("inverse_sqrt", 0.0003, 16_000, 16_000)
    assert (config.validation.ships, config.validation.patience, optimiser.validate_every) == ("best", 20, 5000)
    # What was written down is read as the same.
    assert Config.model_validate(config.model_dump()) == config


def test_what_is_set_beside_it_holds() -> None:
    section = {"model": {"preset": "tiny", "width": 128}, "optimiser": {"steps": 50}, "validation": {"patience": 3}}
    config = Config.model_validate(section)
    assert (config.model.width, config.model.feed_forward) == (128, 1536)
    assert (config.optimiser.steps, config.optimiser.schedule) == (50, "inverse_sqrt")
    assert (config.validation.patience, config.validation.metric) == (3, "chrf")
    assert (
        Config.model_validate({"model": {"preset": "tiny"}, "optimiser": {"epochs": 3}}).optimiser.known_steps is None
    )


def test_an_unknown_one_is_named_and_teachers_have_none() -> None:
    with pytest.raises(ValidationError, match="'tiny', 'base' or 'base-memory'"):
        Config.model_validate({"model": {"preset": "huge"}})
    with pytest.raises(ValidationError, match="presets are of students"):
        teacher.Config.model_validate({"model": {"preset": "tiny"}})


def test_the_tiny_one_is_as_large_as_that_of_the_field() -> None:
    from stages.training.model import build_transformer

    config = Config.model_validate({"model": {"preset": "tiny"}})
    vocabulary = Vocabulary.from_tokens([f"t{number}" for number in range(31_996)])
    found = build_transformer(config.model, vocabulary, vocabulary, "cpu").parameters()
    # 16.9 million, of which a third of a million are what the decoder attends with.
    assert found == pytest.approx(16.9e6, rel=0.05)


def test_a_recipe_of_three_lines_is_one(tmp_path: Path) -> None:
    from pipeline.recipe.recipe import read_recipe

    (tmp_path / "a.en").write_text("one\n")
    (tmp_path / "a.de").write_text("eins\n")
    path = tmp_path / "my.toml"
    path.write_text(
        '[corpus]\nsource_language = "en"\ntarget_language = "de"\n'
        f'[[corpus.sources]]\nname = "a"\nkind = "text"\nsource_file = "{tmp_path}/a.en"\n'
        f'target_file = "{tmp_path}/a.de"\n'
        '[teacher]\n[student.model]\npreset = "tiny"\n[baseline]\noptimiser = {steps = 100}\n'
    )
    graph = read_recipe(path).graph
    assert graph["student"].config.optimiser.steps == 300_000
    assert (graph["baseline"].config.optimiser.steps, graph["baseline"].config.model.width) == (100, 256)
