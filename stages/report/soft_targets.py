"""Soft targets: what the page shows of them."""

from collections.abc import Mapping
from typing import Any

from stages.presentation import figures


def soft_targets_section(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """All that the section shows; without any, empty `soft_targets`."""
    soft = metrics.get("soft_targets")
    if not soft:
        return {"soft_targets": []}
    given = soft["backend"] == "given"
    sampled, entries = soft["mode"] == "sampled", figures.count(soft["vocabulary_size"])
    forced = {"mixed": "reference, or of the hypothesis where there is none"}
    kept = (
        f"{soft['draws']} of the teacher’s {entries} entries were drawn by their probabilities and are kept with how "
        "often each was: an estimate of all of them without bias."
        if sampled
        else f"the {soft['k']} most probable of the teacher’s {entries} entries are kept, normalised over all of them, "
        "with the mass of the rest."
    )
    mean = f" They are the weighted mean of {len(soft['fused'])} teachers’." if soft.get("fused") else ""
    return {
        "soft_targets_text": f"At every position of the {forced.get(soft['conditioning'], soft['conditioning'])}, end "
        f"of sentence included, {kept}{mean}",
        "soft_targets": [
            ("Draws", str(soft["draws"]), "a position, with replacement")
            if sampled
            else ("Mass kept", f"{100 * soft['mean_kept_mass']:.1f}%", "mean over positions"),
            ("Teacher’s first choice", f"{100 * soft['top1_share']:.1f}%", "of the forced tokens"),
            *(
                [("Entropy", f"{soft['mean_entropy']:.2f} nats", "mean over positions")]
                if "mean_entropy" in soft
                else []
            ),
            ("Positions", figures.count(soft["tokens"]), f"in {figures.count(soft['rows'])} rows"),
            ("On disk", figures.size(soft["bytes"]), f"{soft['bytes_per_token']:.1f} bytes a position"),
            ("Computed by", "somebody else", "given with the translations")
            if given
            else ("Computed by", soft["backend"], f"teacher in {soft['compute_type']}"),
        ],
    }
