"""A start that does not fit the teacher is told when the recipe is read."""

from pathlib import Path

import pytest

from data.errors import ConfigError
from pipeline.recipe.recipe import Recipe
from tests.pipeline.recipe.rules.letters import CORPUS, read_letters

RECIPE = (
    CORPUS
    + """[teacher]
{teacher}
[student]
model = {{ encoder_layers = 3, decoder_layers = 2, width = 64, heads = 4, feed_forward = 128 }}
[student.start]
[baseline]
"""
)
TRAINED = """kind = "train"
model = { encoder_layers = 6, decoder_layers = 3, width = 64, heads = 4, feed_forward = 128 }"""


def read(folder: Path, *overrides: str, teacher: str = TRAINED) -> Recipe:
    return read_letters(folder, RECIPE, *overrides, teacher=teacher)


def faults(folder: Path, *overrides: str, teacher: str = TRAINED) -> list[str]:
    with pytest.raises(ConfigError) as raised:
        read(folder, *overrides, teacher=teacher)
    return raised.value.faults[1:]


def test_the_student_starts_from_the_teacher_and_the_baseline_does_not(tmp_path: Path) -> None:
    graph = read(tmp_path).graph
    assert graph["student"].config.start is not None  # type: ignore[attr-defined]
    assert graph["baseline"].config.start is None  # type: ignore[attr-defined]


def test_a_teacher_without_checkpoint_gives_no_start(tmp_path: Path) -> None:
    folder = Path(__file__).parents[4] / "recipes" / "teachers" / "en-de"
    [fault] = faults(tmp_path, teacher=f'kind = "ctranslate2"\npath = "{folder}"')
    assert fault.startswith("student.start: ")
    assert "starts from an OpenNMT-py checkpoint" in fault
    assert "teacher.kind is 'ctranslate2'" in fault


def test_a_teacher_whose_checkpoint_is_put_back_gives_a_start_and_tells_its_shape(tmp_path: Path) -> None:
    folder = Path(__file__).parents[4] / "recipes" / "teachers" / "en-de"
    given = f'kind = "ctranslate2"\npath = "{folder}"\nrestore_checkpoint = true'
    found = faults(tmp_path, teacher=given)
    assert [fault.split(":")[0] for fault in found] == ["student.model.width"]
    assert "is 64, the teacher's 256" in found[0]
    wide = ("student.model.width=256", "student.model.feed_forward=512")
    [fault] = faults(tmp_path, *wide, teacher=given)
    assert "student.model.feed_forward: is 512, the teacher's 1024" in fault
    read(tmp_path, *wide, "student.model.feed_forward=1024", teacher=given)


def test_a_language_model_gives_no_start(tmp_path: Path) -> None:
    given = 'kind = "train"\narchitecture = "decoder-only"\nmodel = { decoder_layers = 3, width = 64, heads = 4 }'
    [fault] = faults(tmp_path, teacher=given)
    assert fault.startswith("student.start: a decoder-only teacher has no encoder")


@pytest.mark.parametrize(
    ("override", "fault"),
    [
        (
            "student.start.decoder_layers=[4, 1]",
            "student.start.decoder_layers: names layer 4, but the teacher's decoder",
        ),
        ("student.start.encoder_layers=[1]", "student.start.encoder_layers: names 1 layers for the 3"),
        ("student.start.encoder_layers=[0, 1, 2]", "student.start.encoder_layers[0]: 0 is out of range"),
        ("student.start.embeddings=svd", "student.start.embeddings: 'svd' makes embeddings narrower"),
        ("student.start.embedding=svd", "student.start.embedding: unknown key; did you mean embeddings?"),
        ("student.model.heads=8", "student.model.heads: is 8, the teacher's 4"),
        ("teacher.model.tie_output=false", "student.model.tie_output: the teacher's output layer is not"),
    ],
)
def test_what_does_not_fit_is_told_with_its_key(tmp_path: Path, override: str, fault: str) -> None:
    [found] = faults(tmp_path, override)
    assert found.startswith(fault)


def test_layers_of_another_width_are_refused_and_embeddings_offered(tmp_path: Path) -> None:
    [fault] = faults(tmp_path, "student.model.width=32")
    assert "start.embeddings to 'svd'" in fault
    assert read(tmp_path, "student.model.width=32", "student.start.embeddings=svd")


def test_the_shape_of_a_given_checkpoint_is_not_known_yet(tmp_path: Path) -> None:
    (tmp_path / "model.pt").write_text("")
    given = f'kind = "opennmt"\npath = "{tmp_path / "model.pt"}"'
    assert read(tmp_path, "student.model.heads=8", teacher=given)
    [fault] = faults(tmp_path, "student.start.encoder_layers=[9]", teacher=given)
    assert "names 1 layers for the 3" in fault


def test_embeddings_that_are_two_cannot_become_one(tmp_path: Path) -> None:
    apart = TRAINED.replace(" }", ", share_embeddings = false }")
    (fault,) = faults(tmp_path, teacher=apart)
    assert fault.startswith("student.model.share_embeddings: the teacher's source and target embeddings are two")
    read(tmp_path, "student.model.share_embeddings=false", teacher=apart)
    # Of two vocabularies nothing is shared, whatever the keys say.
    read(tmp_path, "tokenizer.kind=none", teacher=apart)
