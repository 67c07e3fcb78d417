"""That what is loaded is OpenNMT-py itself, and which packages it is loaded without."""

import inspect
import re
import subprocess
import sys
from importlib.metadata import distribution, version
from pathlib import Path
from textwrap import dedent

import pytest

from stages.training import opennmt

# Nobody here calls them; the last seven are imported by parts of OpenNMT-py that are not loaded.
MAY_BE_ABSENT = (
    *("pyonmttok", "ahocorasick", "fasttext", "rapidfuzz", "regex", "spacy"),
    *("flask", "pyhanlp", "six", "subword_nmt", "tensorboard", "waitress", "werkzeug"),
)
BLOCKED = f"""
import sys
from importlib.machinery import PathFinder
find_spec = PathFinder.find_spec
def blocked(name, path=None, target=None):
    return None if name.partition(".")[0] in {MAY_BE_ABSENT!r} else find_spec(name, path, target)
PathFinder.find_spec = staticmethod(blocked)
"""


def output_of(code: str) -> str:
    """Of a new process in which the packages above are not to be found."""
    command = [sys.executable, "-W", "ignore", "-c", BLOCKED + dedent(code)]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=300).stdout


def test_it_is_the_installed_library_that_runs() -> None:
    import onmt

    assert onmt.__version__ == version("OpenNMT-py") == "3.5.1"
    home = Path(str(distribution("OpenNMT-py").locate_file("onmt"))).resolve()
    used = [getattr(opennmt, name) for name in opennmt.__all__ if name != "vocabularies"]
    assert len(used) == 8
    for one in used:
        assert Path(inspect.getfile(one)).resolve().is_relative_to(home), one


def test_a_model_learns_a_step_without_the_packages_that_may_be_absent() -> None:
    code = """
        import torch
        from stages.training.config import ModelConfig, OptimiserConfig
        from stages.training.model import build_transformer
        from stages.training.loop import Training
        from stages.training.optimiser import build_optimiser
        from stages.training.vocabulary import Vocabulary
        words = Vocabulary.from_tokens(["a", "b"])
        config = ModelConfig(encoder_layers=1, decoder_layers=1, width=8, heads=2, feed_forward=8)
        model = build_transformer(config, words, words, "cpu")
        optimiser = build_optimiser(model, OptimiserConfig())
        ids = torch.tensor([[4, 5]])[..., None]
        output, _ = model.module(ids, ids, torch.tensor([2]))
        optimiser.backward(model.module.generator(output).sum())
        optimiser.step()
        print(optimiser.training_step)
    """
    assert output_of(code) == "2\n"


def test_nothing_is_left_out_but_what_cannot_be_imported_without_these_packages() -> None:
    code = """
        import torch
        import stages.training.opennmt as opennmt
        def fails(names):
            for name in [name for name in sys.modules if name.partition(".")[0] == "onmt"]:
                del sys.modules[name]
            try:
                with opennmt.left_out(names):
                    import onmt.opts, onmt.trainer
            except ModuleNotFoundError:
                return True
            return False
        assert not fails(list(opennmt.LEFT_OUT))
        print([name for name in opennmt.LEFT_OUT if not fails([n for n in opennmt.LEFT_OUT if n != name])])
    """
    assert output_of(code) == "[]\n"


def test_who_asks_for_what_was_left_out_is_told_so() -> None:
    with opennmt.left_out(["no_such_package"]):
        import no_such_package

        with pytest.raises(AttributeError, match=r"no_such_package\.Thing: Potstill loads OpenNMT-py without no_such"):
            no_such_package.Thing()
    with pytest.raises(ModuleNotFoundError):
        import no_such_package


def test_what_is_there_already_is_not_replaced() -> None:
    with opennmt.left_out(["textwrap"]):
        import textwrap

        assert textwrap.dedent is dedent


def test_vocabularies_answer_as_those_of_pyonmttok() -> None:
    pyonmttok = pytest.importorskip("pyonmttok", reason="pyonmttok has no wheels beyond Python 3.12")
    tokens = ["<unk>", "<blank>", "<s>", "</s>", "a", "b", "a"]
    entry = {"src": tokens, "tgt": tokens[:5], "src_feats": [tokens], "data_task": "seq2seq"}
    found = opennmt.vocabularies(entry)
    for ours, side in ((found["src"], tokens), (found["tgt"], tokens[:5]), (found["src_feats"][0], tokens)):
        theirs = pyonmttok.build_vocab_from_tokens(side)
        assert len(ours) == len(theirs)
        assert all(ours[token] == theirs[token] for token in side)
    assert found["src"] != found["tgt"]
    assert found["src"] == opennmt.vocabularies(entry)["src"]
    assert found["data_task"] == "seq2seq"


def test_nothing_else_imports_onmt() -> None:
    root = Path(__file__).parents[3]
    code = [path for layer in ("data", "stages", "pipeline") for path in (root / layer).rglob("*.py")]
    found = [path.name for path in code if re.search(r"^\s*(import|from) onmt\b", path.read_text(), re.MULTILINE)]
    assert found == ["opennmt.py"]
