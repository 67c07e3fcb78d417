"""Students as the field ships them: shapes with schedules that suit them, where a recipe does not say otherwise.

Shapes are those of https://github.com/browsermt/students and https://github.com/mozilla/translations: tiny and base
(https://aclanthology.org/D19-5632), and base-memory between them, whose decoder is deeper. They have six layers of
encoder, a decoder of few layers with recurrent units (SSRU) in the place of self-attention, and normalise after each
block; here the decoder attends, and normalisation comes before. A vocabulary of 32,000 is usual with them.

The schedule is theirs too: a rate of 0.0003 after 16,000 steps, held until step 32,000 and then falling with the
root, no smoothing of labels, no dropout, a moving average, and an end when twenty validations by translation have found
nothing better. Batches are of a size that one GPU holds. On a CPU, or for less than some million rows, set steps,
batch_tokens and warmup_steps yourself.
"""

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

from stages.training.config import Preset

_SHAPES: Mapping[Preset, Mapping[str, int]] = {
    "tiny": {"encoder_layers": 6, "decoder_layers": 2, "width": 256, "heads": 8, "feed_forward": 1536},
    "base": {"encoder_layers": 6, "decoder_layers": 2, "width": 512, "heads": 8, "feed_forward": 2048},
    "base-memory": {"encoder_layers": 6, "decoder_layers": 4, "width": 384, "heads": 8, "feed_forward": 1536},
}
_REST: Mapping[str, Mapping[str, Any]] = {
    "model": {"dropout": 0.0, "attention_dropout": 0.0},
    "optimiser": {
        "steps": 300_000,
        "batch_tokens": 20_000,
        "schedule": "inverse_sqrt",
        "learning_rate": 0.0003,
        "warmup_steps": 16_000,
        "hold_steps": 16_000,
        "adam_beta2": 0.98,
        "label_smoothing": 0.0,
        "average_decay": 0.0001,
        "shuffle_rows": 500_000,
        "validate_every": 5000,
        "checkpoint_every": 5000,
        "report_every": 500,
    },
    "validation": {"metric": "chrf", "ships": "best", "patience": 20},
}


def filled_in(section: Mapping[str, Any]) -> dict[str, Any]:
    """A student's section with all that its preset says and it does not; without one it is as it was."""
    model = section.get("model")
    name: Any = model.get("preset") if isinstance(model, Mapping) else None
    if name not in _SHAPES:
        return dict(section)
    defaults = deepcopy({key: dict(values) for key, values in _REST.items()})
    defaults["model"] |= _SHAPES[name]
    if "epochs" in (section.get("optimiser") or {}):
        del defaults["optimiser"]["steps"]
    given = {key: section.get(key, {}) for key in defaults}
    return {**section, **{key: defaults[key] | dict(given[key]) for key in defaults if isinstance(given[key], Mapping)}}
