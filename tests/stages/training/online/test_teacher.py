"""The teacher in memory: the same as a plain forward pass of its own, whatever order the student's ids have."""

from pathlib import Path
from typing import Any

import pytest
import torch

from data.errors import ModelError
from data.model_folder import load_teacher_info, read_vocabulary, save_teacher_info
from stages.training.checkpoint import load_model
from stages.training.model import Transformer
from stages.training.objective.config import ObjectiveConfig
from stages.training.online.taps import Tap, Taps
from stages.training.online.teacher import OnlineTeacher
from stages.training.online.terms import build_online_terms
from stages.training.vocabulary import Vocabulary
from tests.fixtures.tiny_teacher import write_tiny_teacher
from tests.stages.training.online.models import LARGE, VOCABULARY, batch_of, forward, model
from tests.stages.training.toy import WORDS

WANTED = [
    Tap("states", "encoder", 4),
    Tap("queries", "encoder", 2),
    Tap("values", "decoder", 1),
    Tap("attention", "decoder", 3),
    Tap("cross_attention", "decoder", 3),
]


def plain(network: Transformer, batch: dict[str, Any], wanted: list[Tap]) -> dict[Tap, torch.Tensor]:
    taps = Taps(network.module.eval())
    taps.watch(wanted)
    with torch.no_grad():
        forward(network, batch)
    taken = taps.take()
    taps.watch([])
    return taken


def test_it_gives_what_a_plain_forward_pass_gives() -> None:
    wanted = plain(model(LARGE), batch_of(), WANTED)
    teacher = OnlineTeacher(model(LARGE), VOCABULARY, VOCABULARY, bfloat16=False)
    found = teacher.collect(batch_of(), WANTED)
    assert found.keys() == wanted.keys()
    for tap, value in wanted.items():
        assert torch.equal(found[tap], value), tap


def test_ids_are_the_students_whatever_their_order() -> None:
    """The same sentences, read through a student's vocabulary in which the same words have other ids."""
    mixed = Vocabulary.from_tokens([*WORDS[5:], *WORDS[:5]])
    places = {token: number for number, token in enumerate(mixed.tokens)}
    batch = batch_of()
    mapped = {
        name: torch.tensor([places[token] for token in VOCABULARY.tokens])[batch[name]] for name in ("src", "tgt")
    }
    assert not torch.equal(mapped["src"], batch["src"])
    teacher = OnlineTeacher(model(LARGE), mixed, mixed, bfloat16=False)
    found = teacher.collect({**batch, **mapped}, WANTED)
    for tap, value in plain(model(LARGE), batch, WANTED).items():
        assert torch.equal(found[tap], value), tap


def test_tags_of_languages_that_it_is_not_for_are_no_fault(tmp_path: Path) -> None:
    folder = write_tiny_teacher(tmp_path / "teacher")
    vocabulary = read_vocabulary(folder, "source")
    tagged = Vocabulary.from_tokens([*vocabulary, "<2de>", "<2sv>"])
    info = load_teacher_info(folder).model_copy(
        update={"source_prefix": ("<2{target}>",), "language_names": {"en": "en", "de": "de"}, "pairs": ("en-de",)}
    )
    save_teacher_info(folder, info)
    with pytest.raises(ModelError, match=r"1 of .* first is '<2de>'"):
        OnlineTeacher.load(folder, tagged, tagged, "cpu", bfloat16=False, templates=("<2{target}>",))
    without = Vocabulary.from_tokens([*vocabulary, "<2sv>"])
    # One that calls its languages otherwise has other tags: those of its own languages are missing.
    save_teacher_info(folder, info.model_copy(update={"language_names": {"en": "eng", "sv": "swe"}}))
    with pytest.raises(ModelError, match=r"1 of .* first is '<2sv>'"):
        OnlineTeacher.load(folder, without, without, "cpu", bfloat16=False, templates=("<2{target}>",))
    save_teacher_info(folder, info)
    loaded = OnlineTeacher.load(folder, without, without, "cpu", bfloat16=False, templates=("<2{target}>",))
    assert (loaded.is_for("en-de"), loaded.is_for("en-sv")) == (True, False)


def test_a_larger_vocabulary_than_the_students_is_no_fault() -> None:
    larger = Vocabulary.from_tokens(["more", *WORDS])
    network = model(LARGE, vocabulary=larger)
    found = OnlineTeacher(network, VOCABULARY, VOCABULARY, bfloat16=False).collect(batch_of(), WANTED)
    assert found.keys() == set(WANTED)


def test_what_it_gives_may_be_kept_for_a_backward_pass() -> None:
    teacher = OnlineTeacher(model(LARGE), VOCABULARY, VOCABULARY, bfloat16=False)
    for value in teacher.collect(batch_of(), WANTED).values():
        leaf = torch.ones_like(value, requires_grad=True)
        (leaf * value).sum().backward()
        assert torch.equal(leaf.grad, value)


def test_it_is_frozen_and_never_trains() -> None:
    network = model(LARGE.model_copy(update={"dropout": 0.5, "attention_dropout": 0.5}))
    teacher = OnlineTeacher(network, VOCABULARY, VOCABULARY, bfloat16=False)
    one, other = (teacher.collect(batch_of(), WANTED) for _ in range(2))
    assert all(torch.equal(one[tap], other[tap]) for tap in WANTED)
    assert not any(parameter.requires_grad for parameter in network.module.parameters())


def test_it_keeps_no_graph() -> None:
    network, modes = model(LARGE), []
    network.module.encoder.register_forward_hook(lambda *_: modes.append(torch.is_inference_mode_enabled()))
    OnlineTeacher(network, VOCABULARY, VOCABULARY, bfloat16=False).collect(batch_of(), WANTED)
    assert modes == [True]


def test_its_targets_begin_with_its_own_token() -> None:
    begin = WORDS[5]
    teacher = OnlineTeacher(model(LARGE), VOCABULARY, VOCABULARY, bfloat16=False, start=begin)
    batch = batch_of()
    batch["tgt"] = torch.where(batch["tgt"] == 2, VOCABULARY.tokens.index(begin), batch["tgt"])
    wanted = plain(model(LARGE), batch, WANTED)
    found = teacher.collect(batch_of(), WANTED)
    assert all(torch.equal(found[tap], wanted[tap]) for tap in WANTED)


@pytest.mark.parametrize("bfloat16", [True, False])
def test_it_runs_in_the_precision_that_it_is_told(bfloat16: bool, tiny_teacher: Path) -> None:
    vocabulary = Vocabulary.from_tokens(read_vocabulary(tiny_teacher, "target"))
    asked = ObjectiveConfig.model_validate({"features": [{}]})
    terms = build_online_terms(model(vocabulary=vocabulary), "cpu", bfloat16, folder=tiny_teacher, objectives=[asked])
    kinds = {
        part.weight.dtype for part in terms._teacher._module.encoder.modules() if isinstance(part, torch.nn.Linear)
    }
    assert kinds == {torch.bfloat16 if bfloat16 else torch.float32}


def test_only_the_encoder_runs_where_no_more_is_needed() -> None:
    network = model(LARGE)
    runs: list[str] = []
    for name in ("encoder", "decoder"):
        getattr(network.module, name).register_forward_hook(lambda *_, name=name: runs.append(name))
    teacher = OnlineTeacher(network, VOCABULARY, VOCABULARY, bfloat16=False)
    teacher.collect(batch_of(), WANTED[:2])
    assert runs == ["encoder"]
    teacher.collect(batch_of(), WANTED)
    assert runs == ["encoder", "encoder", "decoder"]


def test_bfloat16_is_close() -> None:
    wanted = plain(model(LARGE), batch_of(), WANTED)
    found = OnlineTeacher(model(LARGE), VOCABULARY, VOCABULARY, bfloat16=True).collect(batch_of(), WANTED)
    for tap, value in wanted.items():
        assert found[tap].dtype == torch.float32
        assert not torch.equal(found[tap], value)
        assert float((found[tap] - value).norm() / value.norm()) < 0.02, tap


def test_flash_attention_is_made_to_show_its_maps(tmp_path: Path) -> None:
    folder = write_tiny_teacher(tmp_path / "teacher", attention="scaled-dot-flash")
    vocabulary = Vocabulary.from_tokens(read_vocabulary(folder, "target"))
    teacher = OnlineTeacher.load(folder, vocabulary, vocabulary, "cpu", bfloat16=False)
    kinds = {getattr(part, "self_attn_type", None) for part in teacher._module.modules()}
    assert "scaled-dot" in kinds and "scaled-dot-flash" not in kinds


def test_a_vocabulary_without_the_students_tokens_is_refused() -> None:
    more = Vocabulary.from_tokens([*WORDS, "b1", "b2"])
    with pytest.raises(ModelError, match=r"2 of 18 tokens of the student's source vocabulary .* first is 'b1'"):
        OnlineTeacher(model(LARGE), more, VOCABULARY, bfloat16=False)
    with pytest.raises(ModelError, match="target vocabulary"):
        OnlineTeacher(model(LARGE), VOCABULARY, more, bfloat16=False)


def load(folder: Path) -> OnlineTeacher:
    vocabulary = Vocabulary.from_tokens(read_vocabulary(folder, "target"))
    return OnlineTeacher.load(folder, vocabulary, vocabulary, "cpu", bfloat16=False)


def test_it_is_read_from_a_teachers_folder(tiny_teacher: Path) -> None:
    teacher = load(tiny_teacher)
    batch = batch_of()
    wanted = plain(load_model(tiny_teacher / "checkpoint.pt", "cpu"), batch, WANTED[1:2])
    assert torch.equal(teacher.collect(batch, WANTED[1:2])[WANTED[1]], wanted[WANTED[1]])


def test_it_wants_the_tags_that_the_student_has(tmp_path: Path) -> None:
    folder = write_tiny_teacher(tmp_path / "teacher")
    vocabulary = Vocabulary.from_tokens(read_vocabulary(folder, "target"))
    given = {"bfloat16": False, "device": "cpu", "source": vocabulary, "target": vocabulary}
    with pytest.raises(ModelError, match=r"reads no tag before each source, and the student <2\{target\}>"):
        OnlineTeacher.load(folder, **given, templates=("<2{target}>",))
    tagged = {"source_prefix": ("<2{target}>",), "pairs": ("en-de", "en-fr")}
    save_teacher_info(folder, load_teacher_info(folder).model_copy(update=tagged))
    with pytest.raises(ModelError, match=r"reads <2\{target\}> before each source, and the student no tag"):
        OnlineTeacher.load(folder, **given)
    teacher = OnlineTeacher.load(folder, **given, templates=("<2{target}>",))
    assert [teacher.is_for(pair) for pair in ("en-de", "en-fr", "de-en", "")] == [True, True, False, True]


@pytest.mark.parametrize("name", ["source_prefix", "source_suffix", "target_prefix"])
def test_a_teacher_with_tags_is_refused(tmp_path: Path, name: str) -> None:
    folder = write_tiny_teacher(tmp_path / "teacher")
    save_teacher_info(folder, load_teacher_info(folder).model_copy(update={name: ("a1",)}))
    with pytest.raises(ModelError, match=f"wants {name} around each sentence"):
        load(folder)


def test_a_teacher_without_a_checkpoint_is_refused(tmp_path: Path) -> None:
    folder = write_tiny_teacher(tmp_path / "teacher")
    (folder / "checkpoint.pt").unlink()
    with pytest.raises(ModelError, match=r"no checkpoint\.pt; .* need a PyTorch teacher"):
        load(folder)
