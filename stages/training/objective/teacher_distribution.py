"""What stored soft targets say of the teacher's distribution at N positions, ready for the loss to compare with.

Of most entries nothing is known but their mass together, the tail. `missing_mass` says what becomes of it:

- ghost: K + 1 buckets, the kept entries and one for all others. The student's others are summed likewise.
- renormalise: the K entries are scaled to sum to 1; the student's softmax stays over the whole vocabulary.
- gold: the tail's mass goes to the forced token; the student's softmax stays over the whole vocabulary.

A temperature tau other than 1 asks for p ** (1 / tau), scaled to sum to 1 over the whole vocabulary
(https://arxiv.org/abs/1503.02531). `tempering` says of what p:

- exact: of the teacher's whole distribution, and then comes `missing_mass`. Its tail has the mass
  r = sum over it of p ** (1 / tau) / sum over all of p ** (1 / tau), which only score can know and stores for the
  temperatures it is told; the kept entries share 1 - r as p ** (1 / tau). With `ghost` the student's whole distribution
  is tempered likewise before its others are summed.
- buckets: of what `missing_mass` has left, the tail being one entry, whatever it holds; on both sides with `ghost`.

At temperature 1 they are the same, and with `renormalise` at any: scaling the kept entries undoes all that r does.

Sampled soft targets have no tail: counts / draws are an unbiased estimate of every entry's probability, and so is the
gradient (https://arxiv.org/abs/2503.16870). They are of temperature 1 alone. The divergence takes the teacher's own
entropy, which is stored, and not that of the sample, so its value is unbiased too, and may be below 0.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from data.errors import DataError
from stages.training.batches.soft_columns import tail_key

MissingMass = Literal["ghost", "renormalise", "gold"]
Tempering = Literal["exact", "buckets"]
# vocabulary: KL to the student's whole tempered distribution. buckets: to K + 1 sums of the student's distribution,
# then tempered. tempered_buckets: tempered, then summed.
Against = Literal["vocabulary", "buckets", "tempered_buckets"]


class SoftTargets(NamedTuple):
    """What the teacher left of N positions: ids [N, K], natural log-probabilities [N, K], the tail's log-mass [N].

    `tempered_tail` [N] is the tail's log-mass in the whole distribution at the temperature of the loss, where known.
    """

    ids: Tensor
    log_probs: Tensor
    tail: Tensor
    tempered_tail: Tensor | None = None

    def of(self, rows: Tensor) -> "SoftTargets":
        """Those of some positions."""
        tempered = None if self.tempered_tail is None else self.tempered_tail[rows]
        return SoftTargets(self.ids[rows], self.log_probs[rows], self.tail[rows], tempered)


class SampledTargets(NamedTuple):
    """What was drawn at N positions: ids [N, E], counts [N, E] (0 in what is padding), the teacher's entropy [N]."""

    ids: Tensor
    counts: Tensor
    entropy: Tensor

    def of(self, rows: Tensor) -> "SampledTargets":
        """Those of some positions."""
        return SampledTargets(*(part[rows] for part in self))


@dataclass(frozen=True)
class Teacher:
    """The teacher's side of the divergence."""

    ids: Tensor  # [N, K'] entries with a probability of their own
    probs: Tensor  # [N, K'] after temperature; of buckets [N, K' + 1], the last for all others together
    negative_entropy: Tensor  # [N, 1] sum of p log p
    against: Against

    def of(self, rows: slice) -> "Teacher":
        """That of some positions."""
        parts = self.ids[rows], self.probs[rows], self.negative_entropy[rows]
        return replace(self, ids=parts[0], probs=parts[1], negative_entropy=parts[2])


def of_batch(batch: Mapping[str, Any], temperature: float) -> SoftTargets | SampledTargets | None:
    """The soft targets that a batch carries, if any, for a loss at this temperature."""
    if "kd_counts" in batch:
        return SampledTargets(batch["kd_ids"], batch["kd_counts"], batch["kd_entropy"])
    if "kd_ids" not in batch:
        return None
    return SoftTargets(batch["kd_ids"], batch["kd_log_probs"], batch["kd_tail"], batch.get(tail_key(temperature)))


def teacher_distribution(
    soft: SoftTargets | SampledTargets,
    targets: Tensor,
    *,
    temperature: float,
    missing_mass: MissingMass,
    tempering: Tempering,
    dtype: torch.dtype,
) -> Teacher:
    """The teacher's side after missing mass and temperature; `targets` [N] are the forced tokens.

    Raises DataError when the soft targets do not hold what the temperature needs.
    """
    working = torch.float64 if dtype == torch.float64 else torch.float32
    if isinstance(soft, SampledTargets):
        return _sampled(soft, temperature, working)
    ids, log_probs, tail = soft.ids.long(), soft.log_probs.to(working), soft.tail.to(working)
    whole = temperature != 1 and tempering == "exact" and missing_mass != "renormalise"
    if whole:
        tail = _known_tail(soft, temperature).to(working).clamp_max(0.0)
        # log(1 - r), exact for a small r and for one next to 1.
        log_probs = torch.log_softmax(log_probs / temperature, 1) + torch.log(-torch.expm1(tail))[:, None]
    if missing_mass == "gold":
        ids, log_probs = _with_gold(ids, log_probs, tail, targets)
    entries = torch.cat([log_probs, tail[:, None]], dim=1) if missing_mass == "ghost" else log_probs
    probs = torch.softmax(entries if whole else entries / temperature, dim=1)
    against: Against = "vocabulary" if missing_mass != "ghost" else "tempered_buckets" if whole else "buckets"
    return Teacher(ids, probs, torch.special.xlogy(probs, probs).sum(1, keepdim=True), against)


def _sampled(soft: SampledTargets, temperature: float, working: torch.dtype) -> Teacher:
    if temperature != 1:
        raise DataError(
            f"sampled soft targets are drawn at temperature 1 and estimate no other, found {temperature:g}: set "
            'objective.soft_targets.temperature to 1, or score again with score.mode = "topk"'
        )
    counts = soft.counts.to(working)
    probs = counts / counts.sum(1, keepdim=True)
    return Teacher(soft.ids.long(), probs, -soft.entropy.to(working)[:, None], "vocabulary")


def _known_tail(soft: SoftTargets, temperature: float) -> Tensor:
    if soft.tempered_tail is None:
        raise DataError(
            f"the soft targets do not hold the tail's mass at temperature {temperature:g}: score again with "
            f"score.temperatures = [{temperature:g}], or temper what was kept alone, with "
            'objective.soft_targets.tempering = "buckets"'
        )
    return soft.tempered_tail


def _with_gold(ids: Tensor, log_probs: Tensor, tail: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """The tail's mass added to the target's entry; a target that was not kept gets one, else that one is empty."""
    is_gold = ids == targets[:, None]
    kept = is_gold.any(1)
    raised = torch.where(is_gold, torch.logaddexp(log_probs, tail[:, None]), log_probs)
    own = torch.where(kept, torch.full_like(tail, -math.inf), tail)
    return torch.cat([ids, targets[:, None]], dim=1), torch.cat([raised, own[:, None]], dim=1)
