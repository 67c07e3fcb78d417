"""What a file holds, told by its first bytes: a name says what somebody meant, the content what there is."""

import re
from collections.abc import Callable, Mapping
from typing import NamedTuple

from stages.corpus.readers.files.shapes import shape_of_lines

HEAD_BYTES = 1 << 16
_TEXT_ADVICE = "take the texts out of it first, as text, tsv or jsonl"
_UNPACK = "unpack it first"
_COLUMNS = 'kind = "parquet" reads columns, and pyarrow or pandas writes Parquet from it'


class Format(NamedTuple):
    """A format by its short name, in words, and what to do with a file of it."""

    key: str
    words: str
    advice: str


FORMATS: Mapping[str, Format] = {
    key: Format(key, words, advice)
    for key, words, advice in [
        ("gzip", "packed by gzip", _UNPACK),
        ("bz2", "packed by bzip2", _UNPACK),
        ("xz", "packed by xz", _UNPACK),
        ("lzma", "packed by lzma", _UNPACK),
        ("zstd", "packed by zstd", _UNPACK),
        ("lz4", "packed by lz4", _UNPACK),
        ("compress", "packed by compress (.Z)", f"{_UNPACK}: gzip -d"),
        ("lzip", "packed by lzip", f"{_UNPACK}: lzip -d"),
        ("lzop", "packed by lzop", f"{_UNPACK}: lzop -d"),
        ("snappy", "packed by snappy", _UNPACK),
        ("zip", "a zip archive", _UNPACK),
        ("tar", "a tar archive", _UNPACK),
        ("7z", "a 7z archive", _UNPACK),
        ("rar", "a rar archive", _UNPACK),
        ("utf-16", "text in UTF-16", "write it anew in UTF-8: iconv -f UTF-16 -t UTF-8"),
        ("utf-32", "text in UTF-32", "write it anew in UTF-8: iconv -f UTF-32 -t UTF-8"),
        ("tmx", "a translation memory (TMX)", 'kind = "tmx" reads it'),
        ("xliff", "a file of translation units (XLIFF)", 'kind = "xliff" reads it'),
        ("html", "an HTML page", "is it the error page of a download that failed?"),
        ("sgml", "lines of SGML tags", 'kind = "sacrebleu" reads published test sets by their name; ' + _TEXT_ADVICE),
        ("xml", "an XML document", _TEXT_ADVICE),
        ("jsonl", "JSON, an object a line", 'kind = "jsonl" reads it'),
        ("json", "a JSON document", 'kind = "jsonl" reads objects, a line each: jq -c .[] makes them of a list'),
        ("tsv", "a table of tab-separated values", 'kind = "tsv" reads it'),
        ("csv", "a table of comma-separated values", 'kind = "tsv" with separator = "," and quoted = true reads it'),
        (
            "semicolons",
            "a table of values with semicolons between them",
            'kind = "tsv" with separator = ";" and quoted = true reads it',
        ),
        ("bars", "pairs with ||| between them", 'put tabs there, and kind = "tsv" reads it'),
        ("po", "a gettext catalog", 'kind = "catalog" reads it'),
        ("mo", "a compiled gettext catalog", 'kind = "catalog" reads it'),
        ("subtitles", "a file of subtitles", _TEXT_ADVICE),
        ("rtf", "a document in RTF", _TEXT_ADVICE),
        ("pdf", "a PDF document", _TEXT_ADVICE),
        ("postscript", "a PostScript document", _TEXT_ADVICE),
        ("office", "an office document", _TEXT_ADVICE),
        ("parquet", "a Parquet file", 'kind = "parquet" reads it'),
        ("arrow", "an Arrow file", 'kind = "arrow" reads it'),
        ("orc", "an ORC file", _COLUMNS),
        ("avro", "an Avro file", _COLUMNS),
        ("hdf5", "an HDF5 file", _COLUMNS),
        ("numpy", "a NumPy array", _COLUMNS),
        ("pickle", "a Python pickle", "it is never read, for it can run code; write the texts as jsonl"),
        ("sqlite", "an SQLite database", _TEXT_ADVICE),
        ("picture", "a picture", "expected text"),
        ("program", "a program", "expected text"),
        ("lfs", "a pointer of Git LFS instead of the file", "git lfs pull fetches it"),
        ("binary", "no text", "expected text in UTF-8"),
    ]
}
# Of these there is a reader that unpacks them on the way.
PACKINGS = ("gzip", "bz2", "xz", "lzma", "zstd", "lz4")
# Of these the content is lines all the same, which somebody may want as they stand.
LINES = (
    "html",
    "sgml",
    "xml",
    "tmx",
    "xliff",
    "jsonl",
    "json",
    "tsv",
    "csv",
    "semicolons",
    "bars",
    "po",
    "subtitles",
    "rtf",
)
_SIGNATURES: list[tuple[int, bytes, str]] = [
    (0, b"\x1f\x8b", "gzip"),
    (0, b"\xfd7zXZ\0", "xz"),
    (0, b"\x5d\0\0", "lzma"),
    (0, b"\x28\xb5\x2f\xfd", "zstd"),
    (0, b"\x04\x22\x4d\x18", "lz4"),
    (0, b"\x1f\x9d", "compress"),
    (0, b"\x1f\xa0", "compress"),
    (0, b"LZIP", "lzip"),
    (0, b"\x89LZO\0", "lzop"),
    (0, b"\xff\x06\0\0sNaPpY", "snappy"),
    (0, b"PK\x03\x04", "zip"),
    (0, b"PK\x05\x06", "zip"),
    (0, b"PK\x07\x08", "zip"),
    (257, b"ustar", "tar"),
    (0, b"7z\xbc\xaf\x27\x1c", "7z"),
    (0, b"Rar!\x1a\x07", "rar"),
    (0, b"PAR1", "parquet"),
    (0, b"PARE", "parquet"),
    (0, b"ARROW1", "arrow"),
    (0, b"FEA1", "arrow"),
    (0, b"ORC\x08", "orc"),
    (0, b"ORC\x0a", "orc"),
    (0, b"Obj\x01", "avro"),
    (0, b"\x89HDF\r\n\x1a\n", "hdf5"),
    (0, b"\x93NUMPY", "numpy"),
    (0, b"SQLite format 3\0", "sqlite"),
    (0, b"%PDF-", "pdf"),
    (0, b"%!PS", "postscript"),
    (0, b"{\\rtf", "rtf"),
    (0, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "office"),
    (0, b"\xde\x12\x04\x95", "mo"),
    (0, b"\x95\x04\x12\xde", "mo"),
    (0, b"\x89PNG\r\n", "picture"),
    (0, b"\xff\xd8\xff", "picture"),
    (0, b"GIF8", "picture"),
    (0, b"\x7fELF", "program"),
    (0, b"version https://git-lfs.github.com/spec/", "lfs"),
]
# Other beginnings that no single string tells.
_PATTERNS: list[tuple[re.Pattern[bytes], str]] = [
    (re.compile(rb"BZh[1-9](?:1AY&SY|\x17\x72\x45\x38\x50\x90)"), "bz2"),
    (re.compile(rb"\xff\xff\xff\xff[\0-\xff]{3}\0[\x0c-\x20]\0\0\0"), "arrow"),  # a stream: a message's length, a table
    (re.compile(rb"\x80[\x02-\x05][\x95cK}\](]"), "pickle"),
]
_WIDE = [
    (b"\xff\xfe\0\0", "utf-32-le"),
    (b"\0\0\xfe\xff", "utf-32-be"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
]
# Beginnings of documents without a prolog, by the name of their first tag.
_ROOTS = {"tmx": "tmx", "xliff": "xliff", "html": "html", "head": "html", "body": "html"}
_SGML = {"srcset", "refset", "tstset", "hypset", "mteval", "doc", "docset", "cesalign", "url", "dataset", "srclang"}
_PROLOG = re.compile(r"(?:\s+|<\?.*?\?>|<!--.*?-->|<!DOCTYPE[^\[>]*(?:\[[^\]]*\]\s*)?>)*", re.DOTALL | re.IGNORECASE)
_TAG = re.compile(r"<([A-Za-z][\w.-]*:)?([A-Za-z][\w.-]*)(?=[\s/>])")
_CONTROLS = bytes({*range(32)} - {*b"\t\n\v\f\r\x1b"})


def recognise(head: bytes) -> Format | None:
    """The format of content that begins so, at most HEAD_BYTES of it; None: lines of plain text, as far as is seen."""
    for find in (_signature, _wide, _binary, _document):
        if key := find(head):
            return FORMATS[key]
    return None


def is_zip(head: bytes) -> bool:
    """Whether content that begins so is a zip archive."""
    return _signature(head) == "zip"


def is_packing(head: bytes, claimed: str | None) -> str | None:
    """The packing by which content begins so, one of PACKINGS, None where it is none.

    `claimed`: what its name says. Frames that are to be skipped may stand first, and are alike in zstd and LZ4.
    """
    if head[1:4] == b"\x2a\x4d\x18" and head[:1] >= b"\x50" and head[:1] <= b"\x5f":
        return "lz4" if claimed == "lz4" else "zstd"
    key = _signature(head)
    return key if key in PACKINGS else None


def _signature(head: bytes) -> str | None:
    for offset, mark, key in _SIGNATURES:
        if head.startswith(mark, offset):
            return key
    return next((key for pattern, key in _PATTERNS if pattern.match(head)), None)


def _wide(head: bytes) -> str | None:
    """UTF-16 and UTF-32, by their mark or by where their zeros are; XML in them is XML."""
    name = next((name for mark, name in _WIDE if head.startswith(mark)), "") or _zeros(head)
    if not name:
        return None
    text = head[: len(head) // 4 * 4].decode(name, errors="ignore").lstrip("\N{ZERO WIDTH NO-BREAK SPACE}")
    # No others' text can be XML's: what is not known as such needs to be written anew first.
    return (_markup(text) if text.lstrip().startswith("<") else None) or name[:6]


def _zeros(head: bytes) -> str:
    half = len(head) // 2
    if half < 8:
        return ""
    even, odd = head[0::2].count(0), head[1::2].count(0)
    if min(even, odd) * 10 < max(even, odd) and max(even, odd) * 3 > half:
        return "utf-16-le" if odd > even else "utf-16-be"
    return ""


def _binary(head: bytes) -> str | None:
    controls = len(head) - len(head.translate(None, _CONTROLS))
    if controls * 5 > len(head):
        return "binary"
    if controls * 25 > len(head):
        try:
            head[:-4].decode("utf-8")
        except UnicodeDecodeError:
            return "binary"
    return None


def _document(head: bytes) -> str | None:
    text = head.decode("utf-8", errors="replace").lstrip("\N{ZERO WIDTH NO-BREAK SPACE}")
    if len(head) >= HEAD_BYTES:  # the last line is cut
        text = text[: text.rfind("\n") + 1] or text
    checks: list[Callable[[str], str | None]] = [_markup, shape_of_lines]
    return next((key for check in checks if (key := check(text))), None)


def _markup(text: str) -> str | None:
    """Of XML, HTML and SGML, by prolog and first tag."""
    prolog = _PROLOG.match(text)
    behind = prolog.end() if prolog else 0
    before = text[:behind].strip().lower()
    tag = _TAG.match(text, behind)
    name = tag[2].lower() if tag else ""
    if before.startswith("<!doctype html"):
        return "html"
    if name in _ROOTS:
        return _ROOTS[name]
    if name in _SGML and not before.startswith("<?xml"):
        return "sgml"
    return "xml" if before.startswith(("<?xml", "<!doctype")) else None
