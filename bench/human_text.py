"""How many human translations the filter's default rules reject, language by language: docs/filters.md.

    python -m bench.human_text            # all texts of Home Assistant in a wheel: some minutes; writes the table
    python -m bench.human_text --sample   # draws the sample that the tests have, anew

What people wrote and a rule rejects, the rule is wrong about, but for what people did wrong: the texts have both.
"""

import argparse
import csv
from collections import Counter
from collections.abc import Iterator, Sequence
from hashlib import blake2b
from pathlib import Path

import numpy as np

from stages.corpus.readers.catalog import read_catalog
from stages.corpus.readers.sources import CatalogSource
from stages.filter.stage import Rules
from stages.languages.identification import LanguageIdentifier
from stages.text import measures

LANGUAGES = ("de", "fr", "cs", "ja", "zh-Hans", "zh-Hant", "ko", "th", "ar", "he", "hi", "ru", "tr", "fi", "ga")
RULES = (
    "length_ratio",
    "source_copy",
    "repetition",
    "placeholders_lost",
    "numbers_lost",
    "remarks",
    "language_probability",
)
PAGE, SAMPLE = Path("docs/filters.md"), Path("tests/stages/measure/human_pairs.tsv")
BEGIN, END = "<!-- made by bench/human_text.py: begin -->\n", "<!-- end -->"
HEAD = ("source_language", "target_language", "source", "target")
SAMPLED = 30

Pair = tuple[str, str]


def human_pairs(language: str) -> list[Pair]:
    """Distinct pairs of English and a language, in the order of their hashes: the first ones are a random sample."""
    return sorted(catalog_pairs(language), key=lambda pair: blake2b("\n".join(pair).encode()).digest())


def catalog_pairs(language: str) -> list[Pair]:
    """The same pairs in the order of the files."""
    source = CatalogSource(
        kind="catalog",
        name="home-assistant",
        wheel="homeassistant==2026.2.3",
        python_version="3.14",
        sha256="8167820cac4b8defe895fd2c36ac23402a445d1fe6028e8cde24caabb935282c",
        pattern="homeassistant/components/*/translations/{language}.json",
        untranslated="reject",
    )
    found = dict[Pair, None]()
    for row in read_catalog(source, "en", language):
        pair = (" ".join((row.source or "").split()), " ".join((row.reference or "").split()))
        if row.reason is None and all(pair) and pair[0] != pair[1]:
            found[pair] = None
    return list(found)


def failures(pair: Pair, languages: tuple[str, str], identifier: LanguageIdentifier, rules: Rules) -> list[str]:
    """Names of the default rules that reject a pair."""
    values = {
        "length_ratio": measures.length_ratio(*pair),
        "source_copy": measures.source_copy(*pair),
        "repetition": measures.repetition(pair[1]),
        "placeholders_lost": measures.placeholders_lost(*pair),
        "numbers_lost": measures.numbers_lost(*pair),
        "remarks": measures.remarks(*pair, *languages),
        "language_probability": identifier.probability(pair[1], *languages),
    }
    found = []
    for name, value in values.items():
        rule = rules.by_name()[name]
        low, high = (-np.inf if rule.min is None else rule.min), (np.inf if rule.max is None else rule.max)
        if value is not None and not low <= value <= high:
            found.append(name)
    return found


def rejected(pairs: Sequence[Pair], languages: tuple[str, str]) -> Counter[str]:
    """How many pairs each rule rejects, and `any` of them."""
    identifier, rules = LanguageIdentifier(known=LANGUAGES), Rules()
    counts: Counter[str] = Counter()
    for pair in pairs:
        names = failures(pair, languages, identifier, rules)
        counts.update([*names, *(["any"] if names else [])])
    return counts


def _lines() -> Iterator[str]:
    yield f"| direction | pairs | {' | '.join(f'`{name}`' for name in RULES)} | any of them |"
    yield f"|---|{'---|' * (len(RULES) + 2)}"
    for language in LANGUAGES:
        pairs = human_pairs(language)
        for turned in (False, True):
            tags = (language, "en") if turned else ("en", language)
            counts = rejected([pair[::-1] if turned else pair for pair in pairs], tags)
            cells = (f"{100 * counts[name] / len(pairs):.2f}" for name in (*RULES, "any"))
            line = f"| {tags[0]} → {tags[1]} | {len(pairs):,} | {' | '.join(cells)} |"
            print(line, flush=True)
            yield line


def write_page(page: Path = PAGE) -> None:
    """Puts the table between its marks."""
    lines = "\n".join(_lines())
    before, rest = page.read_text(encoding="utf-8").split(BEGIN)
    after = rest.split(END, 1)[1]
    head = f"Percent of the pairs, with {', '.join(f'{name} {version}' for name, version in _versions().items())}.\n\n"
    page.write_text(f"{before}{BEGIN}{head}{lines}\n{END}{after}", encoding="utf-8")


def _versions() -> dict[str, str]:
    from data.fingerprint import library_versions

    return library_versions(("lingua-language-detector", "rapidfuzz"))


def write_sample(path: Path = SAMPLE) -> None:
    """Some pairs of each language, drawn by their hashes."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, delimiter="\t", quoting=csv.QUOTE_NONE, quotechar=None, lineterminator="\n")
        writer.writerow(HEAD)
        for language in LANGUAGES:
            writer.writerows(("en", language, *pair) for pair in human_pairs(language)[:SAMPLED])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sample", action="store_true", help="draw the tests' sample anew")
    (write_sample if parser.parse_args().sample else write_page)()
