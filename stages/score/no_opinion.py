"""Soft targets of rows that a teacher is not for, or cannot be asked for: every entry is as probable as any other."""

import numpy as np

from stages.score.soft_distribution import Kept, Wanted


def no_opinion(wanted: Wanted, positions: int, vocabulary_size: int) -> Kept:
    """What is kept of N positions of the even distribution over V entries, at any temperature."""
    each, rest = -np.log(vocabulary_size), vocabulary_size - wanted.k
    tail = np.log(rest / vocabulary_size) if rest else np.log(np.finfo(np.float32).tiny)
    uniforms = np.empty((positions, 0)) if wanted.uniforms is None else wanted.uniforms
    return Kept(
        topk_ids=np.tile(np.arange(wanted.k), (positions, 1)),
        topk_log_probs=np.full((positions, wanted.k), each, dtype=np.float32),
        tail_log_mass=np.full(positions, tail, dtype=np.float32),
        tempered_tails=np.full((positions, len(wanted.temperatures)), tail, dtype=np.float32),
        drawn_ids=np.minimum(uniforms * vocabulary_size, vocabulary_size - 1).astype(np.int32),
        token_log_probs=np.full(positions, each, dtype=np.float32),
        entropy=np.full(positions, -each, dtype=np.float32),
    )
