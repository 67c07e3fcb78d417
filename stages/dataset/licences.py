"""Licences of sources as Hugging Face spells them in a dataset's front matter."""

import re
from collections.abc import Iterable, Sequence

# Of https://huggingface.co/docs/hub/repositories-licenses those that texts come under; others are `other` there.
KNOWN = frozenset(
    """
    afl-3.0 agpl-3.0 apache-2.0 artistic-2.0 bsd bsd-2-clause bsd-3-clause bsl-1.0 c-uda cc cc-by-2.0 cc-by-2.5
    cc-by-3.0 cc-by-4.0 cc-by-nc-2.0 cc-by-nc-3.0 cc-by-nc-4.0 cc-by-nc-nd-3.0 cc-by-nc-nd-4.0 cc-by-nc-sa-2.0
    cc-by-nc-sa-3.0 cc-by-nc-sa-4.0 cc-by-nd-4.0 cc-by-sa-3.0 cc-by-sa-4.0 cc0-1.0 cdla-permissive-1.0
    cdla-permissive-2.0 cdla-sharing-1.0 ecl-2.0 epl-1.0 epl-2.0 etalab-2.0 eupl-1.1 eupl-1.2 gfdl gpl gpl-2.0 gpl-3.0
    isc lgpl lgpl-2.1 lgpl-3.0 lgpl-lr mit mpl-2.0 ms-pl odbl odc-by osl-3.0 pddl postgresql unlicense wtfpl zlib
    """.split()  # noqa: SIM905
)
UNKNOWN, OTHER = "unknown", "other"


def hub_licence(licence: str | None) -> str:
    """The identifier on the hub of an SPDX name or the like: `unknown` when there is none, `other` for all else."""
    if licence is None:
        return UNKNOWN
    name = licence.strip().lower().replace(" ", "-").removesuffix("-only").removesuffix("-or-later")
    return name if name in KNOWN | {UNKNOWN, OTHER} else OTHER


def front_matter_licence(licences: Iterable[str | None]) -> dict[str, str | list[str]]:
    """The keys `license`, and `license_name` where the hub has no word for one of them."""
    given = list(dict.fromkeys(licences)) or [None]
    found = list(dict.fromkeys(hub_licence(licence) for licence in given))
    keys: dict[str, str | list[str]] = {"license": found[0] if len(found) == 1 else found}
    if names := [licence for licence in given if licence is not None and hub_licence(licence) == OTHER]:
        keys["license_name"] = re.sub(r"[^a-z0-9.]+", "-", "-".join(names).lower()).strip("-") or OTHER
    return keys


def licence_text(own: str | None, licences: Sequence[str | None]) -> str:
    """A sentence on it."""
    if own is not None:
        return f"This dataset is under {own}; its sources keep the licences in the table above."
    named = list(dict.fromkeys(licence for licence in licences if licence is not None))
    parts = [f"The sources are under {', '.join(named)}."] if named else []
    if None in licences:
        parts.append("Some source names no licence: find out before you pass its texts on.")
    return " ".join(parts)
