import io

import pytest

from data.errors import DataError
from stages.loaded_model.input_lines import text_lines


@pytest.mark.parametrize(
    ("content", "lines"),
    [
        (b"", []),
        (b"One\nTwo", ["One", "Two"]),
        (b"One\r\n\nTwo\x85 and\xe2\x80\xa8three\n", ["One\r", "", "Two\N{REPLACEMENT CHARACTER} and\u2028three"]),
        (b"\xef\xbb\xbfOne\nTwo\n\xef\xbb\xbfThree\n", ["One", "Two", "Three"]),
        (b"a\0b\nc\n", ["a\0b", "c"]),
        ("漢字\n".encode(), ["漢字"]),
    ],
)
def test_lines_come_without_ends_and_without_byte_order_marks(content: bytes, lines: list[str]) -> None:
    assert list(text_lines(io.BytesIO(content))) == lines


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le"])
def test_wide_encodings_are_told(encoding: str) -> None:
    with pytest.raises(DataError, match="UTF-16 or UTF-32, expected UTF-8"):
        next(text_lines(io.BytesIO("One and two\nThree\n".encode(encoding))))
