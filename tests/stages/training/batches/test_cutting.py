"""Cutting against what must hold of it, whatever the lengths are."""

import numpy as np
import pytest

from stages.training.batches.cutting import cut


@pytest.mark.parametrize("seed", range(30))
def test_every_row_is_in_one_batch_or_left_and_batches_are_full(seed: int) -> None:
    random = np.random.default_rng(seed)
    count, tokens = int(random.integers(0, 80)), int(random.integers(5, 60))
    longest = np.sort(random.integers(1, 20, count))
    rows = random.permutation(count)
    batches, rest = cut(rows, longest, tokens, int(random.integers(count + 1)))
    length = dict(zip(rows.tolist(), longest.tolist(), strict=True))
    assert sorted([*(row for batch in batches for row in batch.tolist()), *rest.tolist()]) == list(range(count))
    for batch in batches:
        widest = max(length[row] for row in batch.tolist())
        assert len(batch) * widest <= tokens or len(batch) == 1
        # Full: a neighbour more, which may be longer, would not fit; lengths differ by at most 18.
        assert (len(batch) + 1) * 19 > tokens
    assert not len(rest) or len(rest) * min(length[row] for row in rest.tolist()) <= tokens


def test_what_is_left_has_any_length() -> None:
    longest = np.repeat(np.arange(1, 41), 10)
    rows = np.arange(400)
    left = {int(longest[cut(rows, longest, 200, middle)[1]].mean()) for middle in range(0, 400, 20)}
    assert min(left) < 10 and max(left) > 30


def test_in_order_what_is_left_is_the_end() -> None:
    batches, rest = cut(np.arange(10), np.full(10, 3), 12, 10)
    assert [batch.tolist() for batch in batches] == [[0, 1, 2, 3], [4, 5, 6, 7]]
    assert rest.tolist() == [8, 9]
