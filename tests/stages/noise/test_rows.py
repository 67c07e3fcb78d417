"""Which rows have noise: shares by the binomial law, one kind a row, by seed and id alone; what a recipe may say."""

import hashlib
import math
from collections import Counter

import pytest
from pydantic import ValidationError

from stages.noise.config import Config
from stages.noise.rows import drawn_kind

IDS = [hashlib.md5(str(number).encode()).hexdigest() for number in range(20_000)]  # noqa: S324


def test_shares_are_within_what_chance_allows() -> None:
    shares = {"upper_case": 0.03, "title_case": 0.02, "typos": 0.1, "dropped_punctuation": 0.05}
    counts = Counter(drawn_kind(each, Config.model_validate(shares)) for each in IDS)
    for kind, share in shares.items():
        assert abs(counts[kind] - share * len(IDS)) < 4 * math.sqrt(len(IDS) * share * (1 - share))
    assert counts.keys() == {*shares, None}


def test_shares_of_one_leave_no_row_clean() -> None:
    config = Config(upper_case=0.25, typos=0.75)
    assert Counter(drawn_kind(each, config) for each in IDS).keys() == {"upper_case", "typos"}


def test_another_seed_draws_others_independently() -> None:
    drawn = [{each for each in IDS if drawn_kind(each, Config(typos=0.2, seed=seed))} for seed in (1, 2)]
    both = len(drawn[0] & drawn[1])
    assert abs(both - 0.04 * len(IDS)) < 4 * math.sqrt(len(IDS) * 0.04 * 0.96)


def test_a_new_kind_takes_no_row_from_those_before_it() -> None:
    before = {each for each in IDS if drawn_kind(each, Config(upper_case=0.1))}
    after = {each for each in IDS if drawn_kind(each, Config(upper_case=0.1, doubled_spaces=0.3)) == "upper_case"}
    assert before == after


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "no kind has a share"),
        ({"upper_case": 0.0}, "no kind has a share"),
        ({"upper_case": 0.6, "typos": 0.5}, r"upper_case, typos: shares of 0.6 \+ 0.5 = 1.1"),
        ({"typos": 1.5}, "less than or equal to 1"),
        ({"typos": -0.1}, "greater than or equal to 0"),
        ({"typos": float("nan")}, "finite"),
        ({"typo": 0.1}, "Extra inputs"),
        ({"typos": 0.1, "read_by": "nobody"}, "student"),
    ],
)
def test_shares_that_do_not_add_up_are_faults(given: dict[str, object], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        Config.model_validate(given)


def test_shares_may_add_up_to_one_though_floats_do_not() -> None:
    kinds = ("upper_case", "title_case", "typos", "dropped_punctuation", "missing_diacritics", "doubled_spaces")
    shares = dict.fromkeys(kinds, 1 / 6)
    assert sum(shares.values()) != 1 or sum([0.1] * 3) != 0.3
    assert dict(Config.model_validate(shares).shares()) == shares
