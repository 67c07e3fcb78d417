"""Signals end a command where it may be ended, and nowhere else."""

import os
import signal

import pytest

from pipeline.running.stopping import Stopped, stoppable, undisturbed


def test_a_signal_ends_what_is_under_way() -> None:
    done = []
    with pytest.raises(Stopped) as raised, stoppable():
        os.kill(os.getpid(), signal.SIGTERM)
        done.append("behind it")
    assert (raised.value.number, done) == (signal.SIGTERM, [])


def test_what_is_undisturbed_is_done_whole() -> None:
    done = []
    with pytest.raises(Stopped) as raised, stoppable():
        with undisturbed():
            with undisturbed():
                os.kill(os.getpid(), signal.SIGINT)
                done.append("inner")
            done.append("outer")
        done.append("behind it")
    assert (raised.value.number, done) == (signal.SIGINT, ["inner", "outer"])


def test_without_a_signal_nothing_is_raised() -> None:
    with stoppable(), undisturbed():
        pass
