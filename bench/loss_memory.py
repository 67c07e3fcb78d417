"""What the loss over the vocabulary and its gradient take of memory, and what they would take written plainly."""

import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


class Problem:
    """N positions of width D under an output layer of V entries, with K soft targets each; all random."""

    def __init__(self, positions: int, width: int, vocabulary: int, k: int) -> None:
        import torch

        from stages.training.objective.teacher_distribution import SoftTargets

        generator = torch.Generator().manual_seed(1)
        shapes = (positions, width), (vocabulary, width), (vocabulary,)
        self.layer = [torch.randn(shape, generator=generator).mul_(0.1).requires_grad_() for shape in shapes]
        self.targets = torch.randint(vocabulary, (positions,), generator=generator)
        log_probs = torch.log(0.5 ** torch.arange(1, k + 1)).expand(positions, k).contiguous()
        ids = torch.rand(positions, vocabulary, generator=generator).topk(k, 1).indices
        self.soft = SoftTargets(ids, log_probs, torch.log1p(-log_probs.exp().sum(1)))

    def plain(self) -> "Tensor":
        """Cross-entropy plus KL, scaled to the kept entries, over one log_softmax of all positions."""
        import torch

        log_probs = torch.log_softmax(torch.nn.functional.linear(*self.layer), 1)
        teacher = torch.log_softmax(self.soft.log_probs, 1)
        divergence = (teacher.exp() * (teacher - log_probs.gather(1, self.soft.ids))).sum()
        return divergence - log_probs.gather(1, self.targets[:, None]).sum()

    def ours(self) -> "Tensor":
        """The same by the student's loss."""
        from stages.training.objective.loss import Objective, loss_sums

        hidden, weight, bias = self.layer
        objective = Objective(soft_target_weight=1.0, missing_mass="renormalise")
        return loss_sums(hidden, weight, bias, self.targets, self.soft, objective).loss

    def losses(self) -> "dict[str, Callable[[], Tensor]]":
        """Both, by name."""
        return {"ours": self.ours, "plain": self.plain}

    def gradients(self, loss: "Callable[[], Tensor]") -> "tuple[Tensor, ...]":
        """Of `loss`, to hidden states, weight and bias."""
        import torch

        return torch.autograd.grad(loss(), self.layer)


def peak_bytes(call: Callable[[], object]) -> int:
    """The most that torch has allocated at one time within `call`, over what there was before."""
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        call()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "trace.json"
        profiler.export_chrome_trace(str(path))
        events = json.loads(path.read_text())["traceEvents"]
    held = peak = 0
    for event in sorted((one for one in events if one.get("name") == "[memory]"), key=lambda one: float(one["ts"])):
        held += int(event["args"]["Bytes"])
        peak = max(peak, held)
    return peak
