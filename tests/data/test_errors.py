"""Errors say where, and come back whole from a worker process."""

import pickle

import pytest

from data.errors import ConfigError, DataError, ModelError, PotstillError


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (DataError("is damaged"), "is damaged"),
        (DataError("is damaged", shard="train-00003"), "shard train-00003: is damaged"),
        (DataError("is damaged", row_id="ab12"), "row ab12: is damaged"),
        (DataError("is damaged", shard="train-00003", row_id="ab12"), "shard train-00003, row ab12: is damaged"),
        (ConfigError(["decode.beam: unknown", "score.k: too large"]), "decode.beam: unknown\nscore.k: too large"),
        (ModelError("no model"), "no model"),
        (PotstillError("full"), "full"),
    ],
)
def test_an_error_reads_the_same_after_a_journey(error: PotstillError, text: str) -> None:
    back = pickle.loads(pickle.dumps(error))  # noqa: S301
    assert (type(back), str(back)) == (type(error), str(error))
    assert str(error) == text
    if isinstance(error, ConfigError):
        # pickle hands the constructor what Exception keeps: the joined text must not become the list of faults.
        assert back.faults == error.faults
