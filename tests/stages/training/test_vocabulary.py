"""Vocabularies, and ids of one in the other, against dictionaries."""

import numpy as np
import pyarrow as pa
import pytest

from data.errors import ModelError
from stages.training.vocabulary import Vocabulary, student_ids


def test_specials_come_first_and_once() -> None:
    vocabulary = Vocabulary.from_tokens(["b", "</s>", "a", "b", "<unk>"])
    assert vocabulary.tokens == ("<unk>", "<blank>", "<s>", "</s>", "b", "a")
    assert len(vocabulary) == 6


def test_ids_are_places_and_unknown_tokens_are_0() -> None:
    vocabulary = Vocabulary.from_tokens(["b", "ä"])
    assert vocabulary.ids(pa.array(["ä", "x", "b", ""])).tolist() == [5, 0, 4, 0]


def test_a_text_says_no_special_and_what_is_put_around_it_does() -> None:
    vocabulary = Vocabulary.from_tokens(["b", "<tag>"])
    spelled = ["<unk>", "<blank>", "<s>", "</s>", "b", "<tag>", "x"]
    assert vocabulary.ids(pa.array(spelled)).tolist() == [0, 0, 0, 0, 4, 5, 0]
    assert vocabulary.meant(spelled) == [0, 1, 2, 3, 4, 5, 0]


def test_ids_of_the_teacher_are_found_by_token() -> None:
    teacher = ["</s>", "<pad>", "x", "y", "<unk>"]
    vocabulary = Vocabulary.from_tokens(teacher)
    ids = student_ids(teacher, vocabulary)
    assert [vocabulary.tokens[number] for number in ids] == teacher
    assert ids.dtype == np.int32


def test_a_teachers_own_end_is_the_students_end_and_no_two_ids_become_one() -> None:
    teacher = ["</s>", "x", "<0x0A>", "y"]
    vocabulary = Vocabulary.from_tokens(teacher)
    ids = student_ids(teacher, vocabulary, "<0x0A>")
    assert [vocabulary.tokens[number] for number in ids] == ["<0x0A>", "x", "</s>", "y"]
    with pytest.raises(ModelError, match="no <end>"):
        student_ids(teacher, vocabulary, "<end>")


def test_an_opennmt_teacher_keeps_its_ids() -> None:
    teacher = ["<unk>", "<blank>", "<s>", "</s>", "x", "y"]
    assert student_ids(teacher, Vocabulary.from_tokens(teacher)).tolist() == list(range(6))


def test_a_token_that_the_student_lacks_is_an_error() -> None:
    with pytest.raises(ModelError, match=r"1 of 3 tokens .* the first is 'y'"):
        student_ids(["</s>", "x", "y"], Vocabulary.from_tokens(["x"]))


def test_a_teacher_without_end_is_an_error() -> None:
    with pytest.raises(ModelError, match="no </s>"):
        student_ids(["x"], Vocabulary.from_tokens(["x"]))
