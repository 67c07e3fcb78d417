"""How many logits are made at once, and the tensors that they are made in."""

from dataclasses import dataclass

import torch
from torch import Tensor

# Logits at a time: many rows, as each chunk's part of the weights' gradient is a pass over all of them; measured at
# V = 4,000 and 32,000. Of float32 they are just less than what the C library keeps when it is freed.
_CHUNK_ELEMENTS = 1 << 23
_CHUNK_ROWS = 128
# Of a GPU, which has the memory and wants few launches: half a gigabyte.
_DEVICE_ELEMENTS = 1 << 27


def rows_at_a_time(weight: Tensor) -> int:
    """Positions whose logits are made at once."""
    elements = _CHUNK_ELEMENTS if weight.device.type == "cpu" else _DEVICE_ELEMENTS
    return max(_CHUNK_ROWS, elements // len(weight))


@dataclass(frozen=True)
class Room:
    """Tensors that every chunk writes into: fresh ones of their size cost the system a page fault every 4 KiB."""

    wide: Tensor  # [n, V] in the working precision
    probs: Tensor  # likewise
    low: Tensor  # [n, V] in the precision of products; `wide` where they are one
    product: Tensor | None  # [V, D] in the precision of products, where it is another

    @classmethod
    def of(cls, rows: int, weight: Tensor, dtype: torch.dtype, working: torch.dtype) -> "Room":
        """For chunks of at most so many rows."""
        wide, probs = (weight.new_empty(rows, len(weight), dtype=working) for _ in range(2))
        if dtype == working:
            return cls(wide, probs, wide, None)
        return cls(wide, probs, torch.empty_like(wide, dtype=dtype), torch.empty_like(weight, dtype=dtype))

    def logits(self, states: Tensor, output: Tensor, offset: Tensor) -> tuple[Tensor, Tensor]:
        """Logits [n, V] of some states, and room [n, V] for their softmax."""
        count = len(states)
        logits, low = self.wide[:count], self.low[:count]
        if self.product is None:
            torch.addmm(offset, states, output.t(), out=logits)
        else:
            torch.mm(states, output.t(), out=low)
            torch.add(low, offset, out=logits)
        return logits, self.probs[:count]

    def lowered(self, gradient: Tensor) -> Tensor:
        """A gradient to logits in the precision of products."""
        return gradient if self.product is None else self.low[: len(gradient)].copy_(gradient)

    def add_product(self, total: Tensor, left: Tensor, right: Tensor) -> None:
        """total += left @ right."""
        if self.product is None:
            total.addmm_(left, right)
        else:
            total.add_(torch.mm(left, right, out=self.product))
