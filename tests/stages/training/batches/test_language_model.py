"""Source and target as one sequence: what is read, what is learned, and that nothing else counts."""

import numpy as np
import pytest

from stages.training.batches.batches import Batch, BatchSource, Position, joined
from stages.training.vocabulary import BEGIN, END_ID, PADDING_ID, SEPARATOR, Vocabulary
from tests.stages.training.toy import MODEL, OPTIMISER, WORDS, Spaces, pairs, stream, train, training_data

VOCABULARY = Vocabulary.from_tokens([*WORDS, SEPARATOR])
SEPARATOR_ID = VOCABULARY.tokens.index(SEPARATOR)


def batch(rows: list[tuple[list[int], list[int]]]) -> Batch:
    """Sources with all that goes before them, and targets without their end."""
    longest = max(len(source) for source, _ in rows), max(len(target) for _, target in rows) + 2
    src = np.full((len(rows), longest[0]), PADDING_ID, np.int32)
    tgt = np.full((len(rows), longest[1]), PADDING_ID, np.int32)
    for number, (source, target) in enumerate(rows):
        src[number, : len(source)] = source
        tgt[number, : len(target) + 2] = [2, *target, END_ID]
    srclen, tgtlen = np.array([(len(source), len(target) + 1) for source, target in rows]).T
    return Batch("one", src, tgt, srclen, tgtlen, {}, Position())


def test_rows_written_out_by_hand() -> None:
    sequence, places = joined(batch([([2, 10, 11], [20, 21]), ([2, 12], []), ([2, 13, 14, 15], [22])]), 99)
    assert sequence.tolist() == [
        [2, 10, 11, 99, 20, 21],
        [2, 12, 99, 1, 1, 1],
        [2, 13, 14, 15, 99, 22],
    ]
    # From the separator to the last token: what follows each of them is learned.
    assert places.tolist() == [3, 4, 5, 6 + 2, 12 + 4, 12 + 5]


def test_the_gradient_is_that_of_each_sentence_alone() -> None:
    """Every row's cross-entropy by itself, in float64, without padding: their sum is the batch's."""
    import torch

    from stages.training.model import build_transformer
    from stages.training.objective.phases import one_phase
    from stages.training.step_loss import DistillationLoss
    from stages.training.tensors import to_torch

    torch.manual_seed(0)
    model = build_transformer(MODEL, VOCABULARY, VOCABULARY, "cpu", decoder_only=True)
    module = model.module.double().eval()
    assert model.separator == SEPARATOR_ID
    source = BatchSource(
        stream("one", pairs(8, 3), source_prefix=(BEGIN,)), Spaces(), VOCABULARY, VOCABULARY, 400, 50, 50, 1
    )
    made = next(source.batches(Position()))
    ready = to_torch(made, None, "cpu", model.separator)
    output, _ = module(ready["src"], ready["tgt"][:, :-1], ready["srclen"])
    loss, _ = DistillationLoss(module.generator, one_phase(["one"], 0.0), torch.float64)(ready, output, {})
    loss.backward()
    found = {name: parameter.grad.clone() for name, parameter in module.named_parameters()}
    module.zero_grad()
    expected = torch.zeros((), dtype=torch.float64)
    for row in range(len(made.srclen)):
        target = made.tgt[row, 1:][made.tgt[row, 1:] != PADDING_ID].tolist()
        prompt = [*made.src[row, : made.srclen[row]].tolist(), SEPARATOR_ID]
        assert prompt[0] == VOCABULARY.tokens.index(BEGIN)
        hidden, _ = module(torch.tensor([*prompt, *target[:-1]])[None, :, None], None, None)
        log_probs = torch.log_softmax(module.generator(hidden[0, len(prompt) - 1 :]), dim=-1)
        expected = expected - log_probs[range(len(target)), target].sum()
    expected.backward()
    assert loss.item() == pytest.approx(expected.item(), rel=1e-10)
    for name, parameter in module.named_parameters():
        torch.testing.assert_close(found[name], parameter.grad, rtol=1e-7, atol=1e-9)


def test_a_training_goes_down_and_its_checkpoint_is_a_language_model(tmp_path) -> None:  # type: ignore[no-untyped-def]
    from stages.training.checkpoint import load_model

    streams = {
        "streams": [stream(source_prefix=(BEGIN,))],
        "valid": [stream("valid", pairs(20, 3), source_prefix=(BEGIN,))],
    }
    steps = OPTIMISER.model_copy(update={"steps": 60, "learning_rate": 1.0, "validate_every": 20})
    arguments = {"source_vocabulary": VOCABULARY, "target_vocabulary": VOCABULARY, "optimiser": steps}
    metrics = train(tmp_path, data=training_data(**streams), decoder_only=True, **arguments)
    assert metrics["valid_cross_entropy"] < np.log(len(VOCABULARY))
    loaded = load_model(tmp_path / "checkpoint.pt", "cpu")
    assert loaded.options.model_task == "lm"
    assert not any(name.startswith("encoder") for name, _ in loaded.module.named_parameters())
    assert loaded.parameters() == metrics["parameters"]
