"""A tokenizer that is trained knows the letters of noise that the student alone reads."""

from pathlib import Path
from typing import Any

import pytest

from data.runtime import Runtime
from stages.text.tokenizer import load_tokenizer
from stages.tokenizer import stage
from tests.fixtures.artifacts import closed, new_artifact
from tests.fixtures.corpora import make_corpus, tsv


@pytest.mark.parametrize("share", [0.0, 0.5])
def test_capitals_of_noisy_sources_and_of_targets_that_follow_have_subwords(tmp_path: Path, share: float) -> None:
    rows = [(f"wash every quick fox {number}", f"süß jeden fuchs {number * 7}") for number in range(100)]
    noise: dict[str, Any] = {"noise": {"upper_case": share}} if share else {}
    corpus = make_corpus(tmp_path, tsv(tmp_path, "a", rows), **noise).artifact
    output = new_artifact(tmp_path, "tokenizer")
    metrics = stage.run({"corpus": corpus}, stage.Config(vocabulary_size=56 if share else 45), output, Runtime())
    pieces = "".join(load_tokenizer(closed(output).path()).source_pieces())
    assert ("Q" in pieces, "Ü" in pieces) == (share > 0, share > 0)
    assert (metrics["rows"] > 100) == (share > 0)
