"""TMX and XLIFF, against the translate-toolkit, which writes and reads both."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from translate.storage.tmx import tmxfile
from translate.storage.xliff import xlifffile
from translate.storage.xliff2 import Xliff2File

from data.errors import DataError
from data.ids import normalise
from stages.corpus.readers.origins import Origin
from stages.corpus.readers.sources import TmxSource, XliffSource
from stages.corpus.readers.units import best_tag
from stages.corpus.visible import shows
from tests.fixtures.corpora import make_corpus

# What XML 1.0 can hold, as far as it comes back the same from any parser (CR is a line's end to all of them).
TEXT = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"], exclude_characters="\ufeff\ufffe\uffff"), max_size=60
)
PAIRS = st.lists(st.tuples(TEXT, TEXT), min_size=1, max_size=8)


def tmx(*units: str, head: str = "") -> bytes:
    body = "".join(f"<tu>{unit}</tu>\n" for unit in units)
    return f'{head}<tmx version="1.4"><header srclang="en"/><body>\n{body}</body></tmx>'.encode()


def tuv(language: str, text: str, attribute: str = "xml:lang") -> str:
    return f'<tuv {attribute}="{language}"><seg>{text}</seg></tuv>'


def source(path: Path, kind: str = "tmx", **options: Any) -> dict[str, Any]:
    return {"kind": kind, "name": "a", "file": str(path), **options}


def made(folder: Path, content: bytes, kind: str = "tmx", **options: Any) -> Any:
    (folder / f"a.{kind}").write_bytes(content)
    return make_corpus(folder, source(folder / f"a.{kind}", kind, **options))


def raw(path: Path, kind: str) -> list[tuple[str | None, str | None]]:
    """All rows of a file as they stand there."""
    options = {"tmx": TmxSource, "xliff": XliffSource}[kind].model_validate(source(path, kind))
    origin = Origin("corpus.sources[0]", options, "en", "de", False)
    return [(row.source, row.reference) for row in origin.rows(2000)]


@settings(deadline=None, max_examples=60)
@given(PAIRS)
def test_a_memory_of_the_toolkit_is_read_as_it_was_written(
    tmp_path_factory: pytest.TempPathFactory, pairs: list[tuple[str, str]]
) -> None:
    memory = tmxfile()
    for text, translation in pairs:
        memory.addtranslation(text, "en", translation, "de")
    path = tmp_path_factory.mktemp("tmx") / "a.tmx"
    path.write_bytes(bytes(memory))
    stored = tmxfile.parsestring(bytes(memory)).units
    found = raw(path, "tmx")
    assert [(text or "", reference or "") for text, reference in found] == [
        (str(unit.source or ""), str(unit.target or "") if str(unit.target or "").strip() else "") for unit in stored
    ]


@pytest.mark.parametrize("version", ["1.2", "2.0"])
def test_units_of_the_toolkit_are_read_as_they_were_written(
    tmp_path_factory: pytest.TempPathFactory, version: str
) -> None:
    @settings(deadline=None, max_examples=60)
    @given(PAIRS)
    def check(pairs: list[tuple[str, str]]) -> None:
        kind = xlifffile if version == "1.2" else Xliff2File
        document = kind(sourcelanguage="en", targetlanguage="de")
        for text, translation in pairs:
            document.addsourceunit(text).target = translation
        path = tmp_path_factory.mktemp("xliff") / "a.xliff"
        path.write_bytes(bytes(document))
        stored = [(str(unit.source or ""), str(unit.target or "")) for unit in kind.parsestring(bytes(document)).units]
        found = [(text or "", reference or "") for text, reference in raw(path, "xliff")]
        # Without a translation there is none, and a copy of the source is none either.
        assert found == [
            (text, target if shows(target.strip()) and normalise(target) != normalise(text) else "")
            if not (target.strip() and not shows(target))
            else (text, target)
            for text, target in stored
        ]

    check()


def test_languages_are_matched_by_prefix_and_the_exact_one_first(tmp_path: Path) -> None:
    content = tmx(
        tuv("EN-US", "Color") + tuv("de", "Farbe"),
        tuv("en_GB", "Colour") + tuv("en", "Hue") + tuv("de-AT", "Farbton"),
        tuv("enm", "Coulour") + tuv("de", "Kein Englisch"),
        tuv("fr", "Couleur") + tuv("en", "Paint"),
        tuv("en", "Old", "lang") + tuv("de", "Alt", "lang"),
    )
    found = made(tmp_path, content)
    assert sorted(found.pairs(), key=str) == [("Color", "Farbe"), ("Hue", "Farbton"), ("Old", "Alt"), ("Paint", None)]
    assert [(row["location"], row["reason"]) for row in found.rejects] == [("a.tmx:4", "empty_source")]
    british = made(tmp_path, content, source_code="en-GB")
    assert british.pairs() == [("Colour", "Farbton")]


@pytest.mark.parametrize(
    ("wanted", "tags", "expected"),
    [
        ("en", ["de", "en-US", "en"], 2),
        ("en", ["en-US-x-a", "EN_us"], 1),
        ("en", ["enm", "de"], None),
        ("pt-BR", ["pt"], None),
        ("zh", ["zh-Hant-TW", "zh-Hans"], 1),
    ],
)
def test_the_nearest_tag_is_taken(wanted: str, tags: list[str], expected: int | None) -> None:
    assert best_tag(wanted, tags) == expected


def test_a_text_never_counts_as_both_languages(tmp_path: Path) -> None:
    content = tmx(tuv("pt-BR", "Ônibus"), tuv("pt-PT", "Autocarro") + tuv("pt-BR", "Ônibus aqui"))
    options = {"source_language": "pt", "target_language": "pt-BR", "source_code": None}
    found = made(tmp_path, content, **options)
    assert found.pairs() == [("Autocarro", "Ônibus aqui")]
    assert found.reasons() == ["empty_source"]


MARKED = 'Press <bpt i="1">&lt;b&gt;</bpt>OK<ept i="1">&lt;/b&gt;</ept> <ph x="1">{0}<sub>a tip</sub></ph><hi>now</hi>.'


def test_inline_code_is_dropped_or_kept(tmp_path: Path) -> None:
    content = tmx(tuv("en", MARKED) + tuv("de", "Jetzt"))
    assert made(tmp_path, content).pairs() == [("Press OK now.", "Jetzt")]
    assert made(tmp_path, content, inline="keep").pairs() == [("Press <b>OK</b> {0}a tipnow.", "Jetzt")]


def test_a_memory_in_utf16_with_a_prolog_and_packed_is_read(tmp_path: Path) -> None:
    head = '<?xml version="1.0" encoding="UTF-16"?>\n<!DOCTYPE tmx SYSTEM "tmx14.dtd">\n<!-- by hand -->\n'
    content = tmx(tuv("en", "One") + tuv("de", "Größe"), head=head).decode().encode("utf-16")
    assert made(tmp_path, content).pairs() == [("One", "Größe")]


@pytest.mark.parametrize("code", ["source_code", "target_code"])
def test_a_language_that_never_occurs_is_told_with_those_that_do(tmp_path: Path, code: str) -> None:
    content = tmx(tuv("en", "One") + tuv("de", "Eins"), tuv("en", "Two") + tuv("fr-CA", "Deux"))
    with pytest.raises(DataError, match=r"none of its 2 units has a text in fi; they have en, de, fr-CA"):
        made(tmp_path, content, **{code: "fi"})


def test_units_without_translation_are_kept_or_rejected(tmp_path: Path) -> None:
    content = tmx(
        tuv("en", "One") + tuv("de", "Eins"), tuv("en", "Two") + tuv("de", " "), tuv("en", "OK") + tuv("de", "OK")
    )
    assert sorted(made(tmp_path, content).pairs(), key=str) == [("OK", "OK"), ("One", "Eins"), ("Two", None)]
    found = made(tmp_path, content, untranslated="reject")
    assert found.reasons() == ["untranslated"]


def test_long_segments_are_rejected_and_nothing_else(tmp_path: Path) -> None:
    content = tmx(tuv("en", "x" * 30_000) + tuv("de", "Lang"), tuv("en", "One") + tuv("de", "Eins"))
    found = made(tmp_path, content)
    assert found.pairs() == [("One", "Eins")]
    assert found.reasons() == ["too_long"]


@pytest.mark.parametrize("kind", ["tmx", "xliff"])
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'<?xml version="1.0"?>\n<resources><string>One</string></resources>', r"its first tag is <resources>"),
        (b'<?xml version="1.0"?>\n<tmx version="1.4"><xliff version="3">', r"its first tag|no XML|\(TMX\)"),
        (b'<tmx version="1.4">\n<body>\n<tu></body>', r":3: no XML that can be read: mismatched tag|\(TMX\)"),
        (b'<?xml version="1.0" encoding="no-such"?><tmx/>', r":1: no XML that can be read: unknown encoding|\(TMX\)"),
        (b"One\nTwo\n", r":1: no XML that can be read: syntax error"),
    ],
)
def test_what_is_no_document_of_the_kind_is_named_with_its_line(
    tmp_path: Path, kind: str, content: bytes, message: str
) -> None:
    with pytest.raises(DataError, match=message) as told:
        made(tmp_path, content, kind)
    assert f"a.{kind}" in str(told.value)


XLIFF = """<?xml version="1.0"?>
<xliff version="1.2" xmlns="urn:oasis:names:tc:xliff:document:1.2" xmlns:x="urn:else">
<file original="a" source-language="en-US" {target}datatype="plaintext"><header><note>Text</note></header><body>
<trans-unit id="1" approved="yes"><source>One <g id="1">big</g><x id="2"/></source><seg-source>no</seg-source>
<target state="translated">Eins <ph id="1">&lt;br/&gt;</ph></target><alt-trans><source>Old</source><target>Alt</target>
</alt-trans></trans-unit>
<group><trans-unit id="2"><source>Two</source><target state="needs-review-l10n">Zwei</target></trans-unit></group>
<trans-unit id="3"><source>Three</source><target state="new">Three</target></trans-unit>
<trans-unit id="4"><source>Four</source></trans-unit>
<trans-unit id="5"><source>Five</source><target>Fünf</target><x:source>Else</x:source></trans-unit>
<trans-unit id="6"><source>Six</source><target state="needs-translation">Sechs?</target></trans-unit>
<trans-unit id="7"><source>Seven</source><target state="final">Sieben</target></trans-unit>
</body></file></xliff>"""
XLIFF2 = """<?xml version="1.0"?>
<xliff xmlns="urn:oasis:names:tc:xliff:document:2.0" version="2.0" srcLang="en" trgLang="de-DE"
 xmlns:mtc="urn:oasis:names:tc:xliff:matches:2.0"><file id="f">
<unit id="1"><originalData><data id="d">&lt;b&gt;</data></originalData>
<mtc:matches><mtc:match ref="#m"><source>No</source><target>Nein</target></mtc:match></mtc:matches>
<segment state="final"><source>One <pc id="1">big</pc><ph id="2"/></source><target>Eins</target></segment>
<ignorable><source> </source><target> </target></ignorable>
<segment state="initial"><source>Two</source><target>Zwei?</target></segment></unit>
<group id="g"><unit id="2"><segment><source>Three</source><target>Drei</target></segment></unit></group>
</file></xliff>"""


@pytest.mark.parametrize("target", ["", 'target-language="de" ', 'target-language="de-AT" '])
def test_units_of_xliff_1_are_taken_by_their_state(tmp_path: Path, target: str) -> None:
    content = XLIFF.format(target=target).encode()
    found = made(tmp_path, content, "xliff")
    whole = {"One big": "Eins", "Three": None, "Four": None, "Five": "Fünf", "Six": None, "Seven": "Sieben"}
    assert dict(found.pairs()) == whole
    assert [(row["location"], row["source"], row["reason"]) for row in found.rejects] == [("a.xliff:7", "Two", "fuzzy")]
    approved = made(tmp_path, content, "xliff", approved=True)
    assert dict(approved.pairs()) == {name: text for name, text in whole.items() if name != "Five"}
    assert approved.reasons() == ["fuzzy", "fuzzy"]
    assert dict(made(tmp_path, content, "xliff", inline="keep").pairs())["One big"] == "Eins <br/>"


def test_segments_of_xliff_2_are_taken_by_their_state(tmp_path: Path) -> None:
    found = made(tmp_path, XLIFF2.encode(), "xliff")
    assert dict(found.pairs()) == {"One big": "Eins", "Two": None, "Three": "Drei"}
    approved = made(tmp_path, XLIFF2.encode(), "xliff", approved=True)
    assert dict(approved.pairs()) == {"One big": "Eins", "Two": None}
    assert approved.reasons() == ["fuzzy"]


def test_xliff_of_other_languages_is_told(tmp_path: Path) -> None:
    swapped = XLIFF.format(target='target-language="en" ').replace('source-language="en-US"', 'source-language="de"')
    with pytest.raises(DataError, match=r"none of its 7 units has a text in en or de; they have de, en"):
        made(tmp_path, swapped.encode(), "xliff")
