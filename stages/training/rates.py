"""The course of the learning rate: a factor of `optimiser.learning_rate` in each step, steps counted from 1."""

import math
from collections.abc import Callable

from stages.training.config import OptimiserConfig

Factor = Callable[[int], float]


def factor_of(config: OptimiserConfig, width: int) -> Factor:
    """What the rate is multiplied by; `width` is D.

    noam (https://arxiv.org/abs/1706.03762, section 5.3) and rsqrt are OpenNMT-py's, in which the rate is a factor. In
    the others it is the highest rate there is: linear up to it in `warmup_steps`, as long there as `hold_steps`, and
    then as the name says, for linear and cosine towards 0 in the step after the last.
    """
    warmup, begin, end = config.warmup_steps, config.warmup_steps + config.hold_steps, config.steps + 1
    if config.schedule == "noam":
        return lambda step: width**-0.5 * min(step**-0.5, step * warmup**-1.5)
    if config.schedule == "rsqrt":
        return lambda step: 1 / math.sqrt(max(step, warmup))
    if config.schedule == "constant":
        return lambda step: 1.0
    falling = {"inverse_sqrt": _inverse_sqrt, "linear": _linear, "cosine": _cosine}[config.schedule](begin, end)
    return lambda step: min(step / warmup, falling(max(step, begin)))


def _inverse_sqrt(begin: int, end: int) -> Factor:
    return lambda step: math.sqrt(begin / step)


def _linear(begin: int, end: int) -> Factor:
    return lambda step: 1 - _part(step, begin, end)


def _cosine(begin: int, end: int) -> Factor:
    return lambda step: (1 + math.cos(math.pi * _part(step, begin, end))) / 2


def _part(step: int, begin: int, end: int) -> float:
    """Of the way from `begin` to `end`."""
    return min((step - begin) / (end - begin), 1.0)
