"""Beam search of a language model: scores against OpenNMT-py in float64, and each prompt as if it were alone."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from data.model_folder import load_teacher_info
from stages.loaded_model.engine import GeneratorEngine, SearchOptions, TranslatorEngine, open_engine
from tests.fixtures.oracle import continued_log_probs
from tests.fixtures.tiny_language_model import LanguageModelShape, write_tiny_language_model
from tests.fixtures.tiny_teacher import TinyShape, write_tiny_teacher

VOCABULARY = LanguageModelShape().vocabulary()
END = VOCABULARY.index("</s>")
LONGEST = 24


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_language_model(tmp_path_factory.mktemp("language-model"))


def engine(folder: Path, **changes: object) -> GeneratorEngine:
    info = load_teacher_info(folder).model_copy(update=changes)
    opened = open_engine(folder, info, device="cpu", compute_type="float32", replicas=1, threads=1)
    assert isinstance(opened, GeneratorEngine)
    return opened


class Recorder:
    """Passes on what a generator is asked, and keeps it."""

    def __init__(self, generator: Any) -> None:
        self._generator = generator

    def generate_batch(self, prompts: list[list[str]], **options: Any) -> Any:
        self.prompts, self.static = prompts, options["static_prompt"]
        return self._generator.generate_batch(prompts, **options)


def prompts(rows: int = 16, seed: int = 2) -> list[list[str]]:
    random = np.random.default_rng(seed)
    sources = [[f"a{number}" for number in random.integers(0, 36, random.integers(1, 9))] for _ in range(rows)]
    return [["<s>", *source, "<sep>"] for source in sources]


def test_the_kind_of_model_decides_the_engine(folder: Path, tiny_teacher: Path) -> None:
    info = load_teacher_info(tiny_teacher)
    other = open_engine(tiny_teacher, info, device="cpu", compute_type="float32", replicas=2, threads=1)
    assert isinstance(other, TranslatorEngine)
    assert (other.device, other.compute_type, other.replicas) == ("cpu", "float32", 2)
    own = engine(folder)
    assert (own.device, own.compute_type, own.replicas) == ("cpu", "float32", 1)


@pytest.mark.parametrize("length_penalty", [0.0, 0.6, 1.0])
def test_scores_are_sums_of_the_models_log_probabilities(folder: Path, length_penalty: float) -> None:
    asked = prompts(8)
    options = SearchOptions(5, 5, length_penalty, longest_target=LONGEST)
    for prompt, row in zip(asked, engine(folder).start(asked, options)(), strict=True):
        assert [one.score for one in row] == sorted((one.score for one in row), reverse=True)
        assert len({tuple(one.tokens) for one in row}) == 5
        for one in row:
            log_probs = continued_log_probs(folder / "checkpoint.pt", prompt, one.tokens)
            ids = [VOCABULARY.index(token) for token in one.tokens] + [END]
            steps = len(one.tokens) + (len(one.tokens) < LONGEST)
            total = log_probs[range(steps), ids[:steps]].sum()
            # The search never ends at the first step, so there the others share the mass of </s>.
            total -= np.log1p(-np.exp(log_probs[0, END]))
            assert one.score == pytest.approx(total / steps**length_penalty, abs=1e-4)


@pytest.mark.parametrize("beam_size", [1, 5])
def test_a_prompt_is_searched_as_if_it_were_alone(folder: Path, beam_size: int) -> None:
    asked = prompts(24)
    assert len({len(prompt) for prompt in asked}) > 4
    model, options = engine(folder), SearchOptions(beam_size, beam_size, longest_target=LONGEST)
    together = model.start(asked, options)()
    alone = [model.start([prompt], options)()[0] for prompt in asked]
    assert len({tuple(row[0].tokens) for row in alone}) > 6
    for one, other in zip(together, alone, strict=True):
        assert [entry.tokens for entry in one] == [entry.tokens for entry in other]
        assert [entry.score for entry in one] == pytest.approx([entry.score for entry in other], abs=1e-5)


def test_what_prompts_share_is_read_once_and_changes_nothing(folder: Path) -> None:
    random = np.random.default_rng(5)
    examples = [f"a{number}" for number in random.integers(0, 36, 20)]
    asked = [["<s>", *examples, f"a{number}", "a1", "<sep>"] for number in range(12)]
    model, options = engine(folder), SearchOptions(5, 5, longest_target=LONGEST)
    passed = Recorder(model.generator)
    together = GeneratorEngine(passed).start(asked, options)()  # type: ignore[arg-type]
    assert passed.static == ["<s>", *examples]
    assert {len(row) for row in passed.prompts} == {3}
    alone = [model.start([prompt], options)()[0] for prompt in asked]
    assert len({tuple(entry.tokens) for row in alone for entry in row}) > 10
    for one, other in zip(together, alone, strict=True):
        assert [entry.tokens for entry in one] == [entry.tokens for entry in other]
        assert [entry.score for entry in one] == pytest.approx([entry.score for entry in other], abs=1e-5)
    same = model.start([asked[0]] * 3, options)()
    assert [row[0].tokens for row in same] == [alone[0][0].tokens] * 3


def test_large_batches_are_divided_and_rows_keep_their_places(folder: Path) -> None:
    asked = prompts(24)
    model = engine(folder)
    whole = model.start(asked, SearchOptions(2, longest_target=LONGEST, scores=False))()
    parts = model.start(asked, SearchOptions(2, longest_target=LONGEST, batch_tokens=16, scores=False))()
    assert [row[0].tokens for row in parts] == [row[0].tokens for row in whole]
    assert {row[0].score for row in whole} == {0.0}


def test_another_token_may_end_a_translation(folder: Path) -> None:
    asked = prompts(12)
    ends = engine(folder, end_token="a18").start(asked, SearchOptions(5, longest_target=LONGEST))()  # noqa: S106
    assert not any({"a18", "</s>"} & set(row[0].tokens) for row in ends)
    finished = 0
    for prompt, (one,) in zip(asked, ends, strict=True):
        log_probs = continued_log_probs(folder / "checkpoint.pt", prompt, one.tokens, end="a18")
        steps = len(one.tokens) + (len(one.tokens) < LONGEST)
        finished += steps > len(one.tokens)
        # The model's own end ends it, too; neither can come first.
        both = [VOCABULARY.index(token) for token in ("a18", "</s>")]
        totals = [
            log_probs[range(steps), [*(VOCABULARY.index(token) for token in one.tokens), end][:steps]].sum()
            for end in both
        ]
        expected = [(total - np.log1p(-np.exp(log_probs[0, both]).sum())) / steps for total in totals]
        assert min(abs(one.score - value) for value in expected) < 1e-4
    assert finished


@pytest.mark.parametrize("kind", ["encoder-decoder", "decoder-only"])
def test_a_model_that_may_not_say_unk_says_what_is_next_best(folder: Path, tmp_path: Path, kind: str) -> None:
    model: Any = engine(folder)
    if kind == "encoder-decoder":
        small = write_tiny_teacher(tmp_path, shape=TinyShape(words=5))
        info = load_teacher_info(small)
        model = open_engine(small, info, device="cpu", compute_type="float32", replicas=1, threads=1)
    said: list[set[str]] = []
    for disabled in (False, True):
        options = SearchOptions(8, 8, longest_target=LONGEST, disable_unk=disabled)
        said.append({token for row in model.start(prompts(32), options)() for one in row for token in one.tokens})
    assert "<unk>" in said[0]
    assert "<unk>" not in said[1]
