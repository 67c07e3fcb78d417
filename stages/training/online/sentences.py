"""How the sentences of a batch lie to one another: RKD (https://arxiv.org/abs/1904.05068), and InfoNCE.

Both losses of RKD are Huber's between relations, which have no width: no projection is needed.
"""

import torch
from torch import Tensor

# Below the square of any distance that matters: two states so near are one, or a root's gradient would be infinite.
_SMALLEST = 1e-12


def distance_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """Between the distances of all pairs of N states [N, D], [N, D'], each model's over their mean.

    Mean over the pairs; 0 with fewer than two states.
    """
    if len(student) < 2:
        return student.sum() * 0
    rows, columns = torch.triu_indices(len(student), len(student), offset=1, device=student.device)
    ours, theirs = (_distances(states)[rows, columns] for states in (student, teacher))
    return torch.nn.functional.smooth_l1_loss(ours / ours.mean(), theirs / theirs.mean())


def angle_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """Between the cosines of the angles at j of all triplets i, j, k of N states [N, D], [N, D'].

    Mean over the triplets; 0 with fewer than three states. N ** 3 numbers are held.
    """
    count = len(student)
    if count < 3:
        return student.sum() * 0
    # Where two of the three are one state both models have the same cosine, 0 or 1, and nothing is added.
    total = torch.nn.functional.smooth_l1_loss(_cosines(student), _cosines(teacher), reduction="sum")
    return total / (count * (count - 1) * (count - 2))


def evenly(count: int, most: int, device: torch.device) -> Tensor:
    """Rows of `count`, at most so many, evenly spread."""
    if count <= most:
        return torch.arange(count, device=device)
    return torch.arange(most, device=device) * count // most


def _distances(states: Tensor) -> Tensor:
    """Euclidean distances [N, N]."""
    differences = states[:, None, :] - states[None, :, :]
    return differences.square().sum(2).clamp_min(_SMALLEST).sqrt()


def _cosines(states: Tensor) -> Tensor:
    """[j, i, k]: cosine of the angle at state j between the ways to i and to k."""
    ways = states[None, :, :] - states[:, None, :]
    squares = ways.square().sum(2, keepdim=True)
    ways = ways / torch.where(squares > _SMALLEST, squares, 1.0).sqrt()
    return ways @ ways.transpose(1, 2)


def contrastive_loss(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """InfoNCE (https://arxiv.org/abs/1807.03748).

    Mean over N sentences of -log softmax of a student's state's cosines to all N teacher's states, at its own.

    States [N, D] of one width. With one sentence there is nothing to tell apart: 0.
    """
    ours, theirs = (torch.nn.functional.normalize(states, dim=1) for states in (student, teacher))
    own = torch.arange(len(student), device=student.device)
    return torch.nn.functional.cross_entropy(ours @ theirs.t() / temperature, own)
