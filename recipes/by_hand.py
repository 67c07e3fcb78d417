"""The idea in one file, without the machinery: decode, select, score, train.

    python recipes/by_hand.py pairs.tsv     # lines of English, a tab, German; some hundreds will do

A teacher translates the sources; of each n-best list the hypothesis nearest to the reference is kept; the teacher is
forced along it for what it thinks at every position; a student learns from both. The pipeline makes it hold for more.
"""

import argparse
from pathlib import Path
from typing import Any

import ctranslate2
import numpy as np
import pyarrow as pa
import sentencepiece
import torch
from sacrebleu import CHRF

from data.ids import row_id
from data.model_folder import load_teacher_info, read_vocabulary
from data.parquet import encode
from data.soft_targets import SoftTargetFormat, SoftTargets, pack, unpack

# OpenNMT-py itself, without the text transforms that `import onmt` would bring.
from stages.training.opennmt import ArgumentParser, build_model, model_opts, vocabularies

TEACHER = Path(__file__).parent / "teachers" / "en-de"
BEAM, K, MAX_TOKENS, ROWS_A_STEP = 5, 16, 60, 16
PADDING, BEGIN = 1, 2  # ids of <blank> and <s> in the teacher's vocabulary
MODEL = {
    "enc_layers": 2, "dec_layers": 1, "heads": 4, "transformer_ff": 512, "add_ffnbias": True, "position_encoding": True,
    "encoder_type": "transformer", "decoder_type": "transformer", "self_attn_type": "scaled-dot", "param_init": 0.0,
    "share_vocab": True, "share_embeddings": True, "share_decoder_embeddings": True, "param_init_glorot": True,
    "freeze_word_vecs_enc": False, "freeze_word_vecs_dec": False, "parallel_mode": "data_parallel", "world_size": 1,
    "gpu_ranks": [], "optim": "adam", "dropout": [0.1], "attention_dropout": [0.0], "pre_word_vecs_enc": None,
    "pre_word_vecs_dec": None, "hidden_size": 128, "enc_hid_size": 128, "dec_hid_size": 128, "src_word_vec_size": 128,
    "tgt_word_vec_size": 128,
}  # fmt: skip


def decode(teacher: ctranslate2.Translator, sources: list[list[str]]) -> list[list[list[str]]]:
    """Of each source its n-best list by beam search, best first, as tokens."""
    results = teacher.translate_batch(sources, beam_size=BEAM, num_hypotheses=BEAM, max_decoding_length=MAX_TOKENS)
    return [result.hypotheses for result in results]


def select(texts: list[str], reference: str) -> int:
    """Which hypothesis is the nearest to the reference, by chrF (sequence interpolation, Kim and Rush 2016)."""
    return int(np.argmax([CHRF().sentence_score(text, [reference]).score for text in texts]))


def score(teacher: ctranslate2.Translator, source: list[str], target: list[str]) -> np.ndarray:
    """Log-probabilities [T, V] along the target and its `</s>`, by forced greedy search: beam search returns none."""
    [result] = teacher.translate_batch(
        [source], target_prefix=[target], beam_size=1, max_decoding_length=len(target) + 1, min_decoding_length=0,
        return_scores=True, return_logits_vocab=True,
    )  # fmt: skip
    logits = np.stack([np.asarray(step).reshape(-1) for step in result.logits[0][: len(target) + 1]]).astype(np.float64)
    shifted = logits - logits.max(1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(1, keepdims=True)))


def soft_targets(rows: list[str], targets: list[list[int]], log_probs: list[np.ndarray]) -> pa.Table:
    """The K most probable entries of every position, the mass of all others, and the entropy: data/'s contract."""
    everything, forced, info = np.concatenate(log_probs), np.concatenate(targets), load_teacher_info(TEACHER)
    best = np.argsort(-everything, axis=1, kind="stable")[:, :K]
    kept = np.take_along_axis(everything, best, 1)
    made = SoftTargetFormat(
        k=K, vocabulary_size=everything.shape[1], ids_dtype="uint16", vocabulary_digest=info.vocabulary_digest,
        teacher_digest=info.digest, compute_type="int8", backend="ctranslate2",
    )  # fmt: skip
    np.put_along_axis(rest := np.exp(everything), best, 0.0, 1)
    return pack(
        row_ids=rows, lengths=[len(target) for target in targets], conditioning="hypothesis", topk_ids=best,
        topk_log_probs=kept, tail_log_mass=np.log(rest.sum(1) + 1e-30), target_format=made,
        token_log_probs=everything[np.arange(len(forced)), forced], entropy=-(np.exp(everything) * everything).sum(1),
    )  # fmt: skip


def student(vocabulary: list[str]) -> Any:
    """OpenNMT-py's transformer over the teacher's vocabulary; `model(src, tgt, lengths)` gives states [B, T, D]."""
    options = ArgumentParser.defaults(model_opts)
    vars(options).update(MODEL)
    entry = {"src": vocabulary, "tgt": vocabulary, "data_task": "seq2seq", "decoder_start_token": "<s>"}
    return build_model(options, options, vocabularies(entry), None, -1)


def loss(logits: torch.Tensor, forced: torch.Tensor, soft: SoftTargets) -> torch.Tensor:
    """Of one row: cross-entropy on its T tokens, and KL(teacher || student) over K entries and a bucket for others."""
    log_probs = logits.log_softmax(1)
    ids, teacher = (torch.from_numpy(each) for each in (soft.topk_ids.astype(int), soft.topk_log_probs.astype("f4")))
    kept, tail = log_probs.gather(1, ids), torch.from_numpy(soft.tail_log_mass.astype("f4"))
    rest = torch.log1p(-kept.exp().sum(1).clamp(max=1 - 1e-6))
    divergence = (teacher.exp() * (teacher - kept)).sum(1) + tail.exp() * (tail - rest)
    return torch.nn.functional.nll_loss(log_probs, forced) + divergence.mean()


def train(model: Any, rows: list[tuple[list[int], list[int], SoftTargets]], steps: int) -> list[float]:
    """On ids of sources and targets, and soft targets; returns the loss of each step."""
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-3, betas=(0.9, 0.98))
    random, losses = np.random.default_rng(1), []
    for step in range(steps):
        drawn = [rows[row] for row in random.choice(len(rows), ROWS_A_STEP)]
        src, lengths = _padded([source for source, _, _ in drawn])
        states = model(src, _padded([[BEGIN, *target] for _, target, _ in drawn])[0], lengths)[0]
        logits = [model.generator(states[place, : len(target)]) for place, (_, target, _) in enumerate(drawn)]
        each = [loss(one, torch.tensor(target), soft) for one, (_, target, soft) in zip(logits, drawn, strict=True)]
        optimiser.zero_grad()
        (mean := torch.stack(each).mean()).backward()
        optimiser.step()
        losses.append(float(mean.detach()))
        print(f"step {step}: loss {losses[-1]:.3f}", flush=True)
    return losses


def _padded(rows: list[list[int]]) -> tuple[torch.Tensor, torch.Tensor]:
    """Ids [B, L, 1] and the lengths [B]."""
    ids = torch.nn.utils.rnn.pad_sequence([torch.tensor(row) for row in rows], True, PADDING)
    return ids[:, :, None], torch.tensor([len(row) for row in rows])


def main() -> None:
    """All of it, on a file of pairs; leaves the soft targets as Parquet."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pairs", type=Path)
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--out", type=Path, default=Path("by_hand.parquet"), help="where the soft targets go")
    options = parser.parse_args()
    pairs = [line.split("\t") for line in options.pairs.read_text(encoding="utf-8").splitlines()]
    teacher = ctranslate2.Translator(str(TEACHER), compute_type="int8")
    pieces = sentencepiece.SentencePieceProcessor(str(TEACHER / "source.spm"))
    vocabulary = read_vocabulary(TEACHER, "target")
    ids = {token: number for number, token in enumerate(vocabulary)}
    sources = [pieces.encode(source, out_type=str)[:MAX_TOKENS] for source, _ in pairs]
    lists = zip(decode(teacher, sources), pairs, strict=True)
    chosen = [nbest[select([pieces.decode(each) for each in nbest], pair[1])] for nbest, pair in lists]
    log_probs = [score(teacher, *each) for each in zip(sources, chosen, strict=True)]
    targets = [[ids[token] for token in (*target, "</s>")] for target in chosen]
    table = soft_targets([row_id("en", "de", source) for source, _ in pairs], targets, log_probs)
    options.out.write_bytes(encode(table))
    print(f"{len(pairs)} rows scored; soft targets in {options.out}")
    torch.manual_seed(1)
    model, numbers = student(vocabulary), [[ids.get(token, 0) for token in source] for source in sources]
    losses = train(model, list(zip(numbers, targets, unpack(table), strict=True)), options.steps)
    print(f"the loss fell from {losses[0]:.3f} to {losses[-1]:.3f}")


if __name__ == "__main__":
    main()
