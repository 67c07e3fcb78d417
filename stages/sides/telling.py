"""What is said of a source whose sides do not belong together: where it begins, three examples, what to do."""

from collections.abc import Iterable, Iterator, Sequence

from stages.presentation.model_card import language_name
from stages.sides.likeness import Finding
from stages.sides.sample import Sample
from stages.sides.spoken import Spoken

EXAMPLES, _SHOWN = 3, 100


def told_of_references(origin: str, sample: Sample, finding: Finding) -> str:
    """A text whose first line says what is wrong and what to do, and whose others are examples."""
    share = f"of {finding.looked_at:,} rows looked at there {finding.beaten:,} have a translation that is more like"
    where = f"{origin}, {_where(sample, finding.first, finding.last)}"
    if finding.shift is None:
        head = (
            f"{where}: references are no more like the teacher's translations than by chance: {share} one of three "
            "other rows' references than their own. Look whether both sides of this source are parallel (a side "
            "sorted, shuffled or from another file; lines lost), and leave it out or mend it; if they are, this "
            "teacher does not translate these texts"
        )
    else:
        lines = f"{abs(finding.shift)} line{'s' if abs(finding.shift) > 1 else ''}"
        way, found, other = ("down", "many", "few") if finding.shift > 0 else ("up", "few", "many")
        head = (
            f"{where}: sides are shifted: the reference that belongs to a row stands {lines} further {way}. Look at "
            f"both files where this begins: {lines} too {found} on the target side, or too {other} on the source side; "
            "mend it there and run again"
        )
    return "\n".join([head, *_pairs(sample, _spread(range(finding.first, finding.last + 1)), with_hypothesis=True)])


def told_of_languages(origin: str, sample: Sample, found: Sequence[Spoken]) -> Iterator[str]:
    """A text likewise for each side, or one where they are swapped."""
    tags = {"source": sample.source_language, "reference": sample.target_language}
    looks = {one.side: one.looks_like for one in found}
    codes = {side: tag.split("-")[0].lower() for side, tag in tags.items()}
    if looks.get("source") == codes["reference"] and looks.get("reference") == codes["source"]:
        yield _swapped(origin, sample, found, tags)
        return
    for one in found:
        side = "source side" if one.side == "source" else "reference side"
        like = f", most of them in {language_name(one.looks_like)} as it seems" if one.looks_like else ""
        head = (
            f"{origin}, {_where(sample, one.first, one.last)}: of {one.judged:,} texts of the {side} {one.elsewhere:,} "
            f"are not in {_named(tags[one.side])}{like}. Look whether the file is the right one, and the source's "
            f"{'source_language' if one.side == 'source' else 'target_language'}; filter judges targets alone, so such "
            "rows stay"
        )
        yield "\n".join([head, *_pairs(sample, _spread(one.examples))])


def _swapped(origin: str, sample: Sample, found: Sequence[Spoken], tags: dict[str, str]) -> str:
    first, last = min(one.first for one in found), max(one.last for one in found)
    head = (
        f"{origin}, {_where(sample, first, last)}: sides are swapped: sources are in {_named(tags['reference'])} and "
        f"references in {_named(tags['source'])}. Swap the two files or columns, or source_language and "
        "target_language, and run again"
    )
    return "\n".join([head, *_pairs(sample, _spread(found[0].examples))])


def _where(sample: Sample, first: int, last: int) -> str:
    """All rows, or from where to where; between the last row that is right and the first that is not it begins."""
    count, places = len(sample.places), sample.places
    edge = max(count // 50, 3)
    begins = "" if first < edge else f"from between {places[first - 1]} and {places[first]}"
    ends = "" if last >= count - edge else f"to about {places[last]}"
    return " ".join(part for part in (begins, ends) if part) or "all of it"


def _spread(rows: Iterable[int]) -> list[int]:
    found = list(rows)
    wanted = min(EXAMPLES, len(found))
    return [found[(2 * number + 1) * len(found) // (2 * wanted)] for number in range(wanted)]


def _pairs(sample: Sample, rows: Iterable[int], *, with_hypothesis: bool = False) -> Iterator[str]:
    for row in rows:
        translated = f" -> {_short(sample.hypotheses[row])}" if with_hypothesis else ""
        reference = sample.references[row]
        yield (
            f"  {sample.places[row]}: {_short(sample.sources[row])}{translated}"
            + (f"; reference {_short(reference)}" if reference else "")
        )


def _short(text: str) -> str:
    return f"{text[:_SHOWN]!r}" + (" ..." if len(text) > _SHOWN else "")


def _named(tag: str) -> str:
    return f"{language_name(tag)} ({tag})"
