"""The kinds of corpus sources that a recipe can name, as typed options."""

import difflib
import re
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PlainSerializer, model_validator

from stages.corpus.readers.paths import check_path, recorded_path

_REQUIREMENT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*==[A-Za-z0-9][A-Za-z0-9._+!-]*")


def check_language(tag: str) -> str:
    """The tag, when it is a valid BCP-47 tag; else ValueError that names the nearest."""
    from langcodes import standardize_tag, tag_is_valid

    if not tag_is_valid(tag):
        raise ValueError(f"{tag!r} is no known language; {_nearest_language(tag)}")
    if "_" in tag:
        raise ValueError(f"{tag!r} is no BCP-47 tag; did you mean {standardize_tag(tag)}?")
    return tag


def _nearest_language(tag: str) -> str:
    head, dash, rest = tag.lower().replace("_", "-").partition("-")
    code = _nearest_code(head)
    if code is None:
        return "expected a BCP-47 tag such as en, de, pt-BR or zh-Hans"
    from langcodes import tag_is_valid

    whole = f"{code}{dash}{rest.upper()}"
    return f"did you mean {whole if tag_is_valid(whole) else code}?"


def _nearest_code(word: str) -> str | None:
    """By country, such as jp, by code, or by English name."""
    from babel import Locale
    from babel.languages import get_official_languages

    if official := get_official_languages(word.upper()):
        return str(official[0])
    names = {name.lower(): code for code, name in Locale("en").languages.items()}
    known = {code: code for code in names.values()} if len(word) <= 3 else names
    near = difflib.get_close_matches(word, sorted(known, key=len), n=1, cutoff=0.5)
    return known[near[0]] if near else None


def check_requirement(text: str) -> str:
    """The requirement, when it names one version of one package: so the fingerprint covers the content."""
    if not _REQUIREMENT.fullmatch(text):
        raise ValueError(f"{text!r}: expected a package with one version, such as homeassistant==2026.2.3")
    return text


Language = Annotated[str, AfterValidator(check_language)]
# A path or any fsspec URL. As JSON, which is what is written down of a recipe, no query of a URL can be read in it.
Place = Annotated[str, AfterValidator(check_path), PlainSerializer(recorded_path, return_type=str, when_used="json")]
Column = int | str
_ANYTHING = "take lines as they stand, whatever format they look like"


def _check_sides(names: str, source: object, target: object) -> None:
    """ValueError where both sides are the same: every row would be its own translation."""
    if source == target:
        raise ValueError(f"{names}: both are {source!r}; expected two, or no target for a monolingual source")


class SourceOptions(BaseModel):
    """What every kind of source can say about itself."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(description="names the source in rows, counts and the card", pattern=r"^[\w.-]+$")
    source_language: Language | None = Field(None, description="BCP-47 tag; the corpus's when absent")
    target_language: Language | None = Field(None, description="BCP-47 tag; the corpus's when absent")
    licence: str | None = Field(None, description="licence of the texts, for the dataset's card")
    homepage: str | None = Field(None, description="where the texts come from, for the dataset's card")
    limit: int | None = Field(
        None,
        ge=1,
        description="training rows that are taken at most, those whose hash is smallest; what is held out stays whole",
    )
    # What a corpus is does not hang on it: whoever trains takes it from here.
    weight: float = Field(
        1.0,
        gt=0,
        le=1000,
        exclude=True,
        allow_inf_nan=False,
        description="how often a row of it is drawn in an epoch of a training, in the mean: 2 twice, 0.25 in every "
        "fourth; a change makes trainings anew and nothing before them",
    )


class CatalogSource(SourceOptions):
    """Translation files in a wheel, a zip or a folder: JSON by key, or gettext .po and .mo by message."""

    kind: Literal["catalog"] = Field(description="translation files in a wheel, a zip or a folder")
    wheel: Annotated[str, AfterValidator(check_requirement)] | None = Field(
        None, description="package with its version, fetched by pip: homeassistant==2026.2.3"
    )
    python_version: str | None = Field(
        None, description="Python for which pip is to fetch the wheel, when it needs a newer one", pattern=r"^[\d.]+$"
    )
    sha256: str | None = Field(None, description="expected SHA-256 of the wheel or zip", pattern=r"^[0-9a-f]{64}$")
    path: Place | None = Field(None, description="a wheel or zip file, or a folder; any fsspec URL")
    pattern: str = Field(
        description="where the files are inside it; {language} stands for the code, * for a part of a name, ** for "
        "any folders: locale/{language}/*.po"
    )
    source_code: str | None = Field(None, description="what the files call the source language; its tag when absent")
    target_code: str | None = Field(None, description="what the files call the target language; its tag when absent")
    reference_prefix: str = Field("[%key", description="JSON values with this start point to other keys: rejected")
    untranslated: Literal["monolingual", "reject"] = Field(
        "monolingual", description="a source whose translation is missing or equal to it: keep it without, or reject it"
    )
    monolingual: bool = Field(False, description="take the source texts alone, translated or not")

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.wheel is None) == (self.path is None):
            raise ValueError("give either wheel or path")
        if "{language}" not in self.pattern or self.pattern.rsplit(".", 1)[-1] not in {"json", "po", "mo"}:
            raise ValueError(f"pattern {self.pattern!r}: expected {{language}} in it and .json, .po or .mo at its end")
        if self.monolingual and self.untranslated == "reject":
            raise ValueError("monolingual takes every source, and untranslated = reject none; leave one of them out")
        return self


class TextSource(SourceOptions):
    """Parallel text, one segment a line; plain, .gz, .bz2, .xz or .zst."""

    kind: Literal["text"] = Field(description="parallel text files, one segment a line")
    source_file: Place = Field(
        description="path, glob or fsspec URL; what is packed is unpacked; zip://NAME::PATH and tar://NAME::PATH name "
        "a member of an archive"
    )
    target_file: Place | None = Field(
        None, description="likewise, line by line its translation; with globs, file by file; absent: monolingual"
    )
    anything: bool = Field(False, description=_ANYTHING)

    @model_validator(mode="after")
    def _check(self) -> Self:
        _check_sides("source_file, target_file", self.source_file, self.target_file)
        return self


class TsvSource(SourceOptions):
    """A table of tab-separated values, a row a line."""

    kind: Literal["tsv"] = Field(description="one file of separated values, a row a line")
    file: Place = Field(description="path or fsspec URL; what is packed is unpacked")
    source_column: Column = Field(0, description="index from 0, or a name in the header")
    target_column: Column | None = Field(None, description="likewise; absent: monolingual")
    header: bool | None = Field(None, description="the first line names columns; by default when a column is a name")
    separator: str = Field("\t", description="between columns", min_length=1, max_length=1)
    anything: bool = Field(False, description=_ANYTHING)
    quoted: bool = Field(False, description='values may stand in "...", over several lines even; off, quotes are text')

    @model_validator(mode="after")
    def _check(self) -> Self:
        columns = [column for column in (self.source_column, self.target_column) if column is not None]
        if any(isinstance(column, int) and column < 0 for column in columns):
            raise ValueError("source_column, target_column: expected an index from 0 or a name")
        if self.header is False and any(isinstance(column, str) for column in columns):
            raise ValueError("header: columns are given by name, so it cannot be false")
        _check_sides("source_column, target_column", self.source_column, self.target_column)
        return self


class ParquetSource(SourceOptions):
    """Columns of Parquet files."""

    kind: Literal["parquet"] = Field(description="columns of Parquet files")
    path: Place = Field(description="a file, a folder or a glob; any fsspec URL")
    source_column: str = Field("source", description="column; translation.en is the field en of translation")
    target_column: str | None = Field(None, description="likewise; absent: monolingual")

    @model_validator(mode="after")
    def _check(self) -> Self:
        _check_sides("source_column, target_column", self.source_column, self.target_column)
        return self


class ArrowSource(SourceOptions):
    """Columns of Arrow files: what `save_to_disk` of Hugging Face's datasets leaves, or streams and files of Arrow."""

    kind: Literal["arrow"] = Field(description="columns of Arrow files, as datasets' save_to_disk leaves them")
    path: Place = Field(description="the folder of one split, a file or a glob; any fsspec URL")
    source_column: str = Field("source", description="column; translation.en is the field en of translation")
    target_column: str | None = Field(None, description="likewise; absent: monolingual")

    @model_validator(mode="after")
    def _check(self) -> Self:
        _check_sides("source_column, target_column", self.source_column, self.target_column)
        return self


class JsonlSource(SourceOptions):
    """Objects of JSON, one a line; plain, .gz, .bz2, .xz or .zst."""

    kind: Literal["jsonl"] = Field(description="JSON, an object a line")
    file: Place = Field(description="path, glob or fsspec URL; what is packed is unpacked")
    source_field: str = Field(
        "source", description="field; translation.en is the field en of translation, a.0 of a list"
    )
    target_field: str | None = Field(None, description="likewise; absent: monolingual")

    @model_validator(mode="after")
    def _check(self) -> Self:
        _check_sides("source_field, target_field", self.source_field, self.target_field)
        return self


class UnitOptions(SourceOptions):
    """What kinds can say whose files hold units of a text with its translations."""

    file: Place = Field(description="path, glob or fsspec URL; what is packed is unpacked")
    source_code: str | None = Field(
        None, description="what the file calls the source language; by default its tag, or one that begins with it"
    )
    target_code: str | None = Field(None, description="what the file calls the target language; likewise")
    inline: Literal["drop", "keep"] = Field(
        "drop",
        description="code of other formats inside a text, as in <ph>&lt;br/&gt;</ph>: drop it, or keep it as text",
    )
    untranslated: Literal["monolingual", "reject"] = Field(
        "monolingual", description="a source without translation: keep it without, or reject it"
    )


class TmxSource(UnitOptions):
    """A translation memory in TMX."""

    kind: Literal["tmx"] = Field(description="a translation memory in TMX")


class XliffSource(UnitOptions):
    """Translation units in XLIFF 1.2 or 2."""

    kind: Literal["xliff"] = Field(description="translation units in XLIFF 1.2 or 2")
    approved: bool = Field(
        False, description='take only what is approved="yes" (1.2), or reviewed or final (2); others are rejected'
    )


class OpusSource(SourceOptions):
    """An archive of OPUS in Moses format: two files of parallel lines among others."""

    kind: Literal["opus"] = Field(description="an archive of OPUS in Moses format, as opus.nlpl.eu has them")
    file: Place = Field(description="the zip; path or fsspec URL")
    source_code: str | None = Field(None, description="the suffix of the source's member; its language tag when absent")
    target_code: str | None = Field(None, description="the suffix of the target's member; likewise")
    anything: bool = Field(False, description=_ANYTHING)


class SacrebleuSource(SourceOptions):
    """A published test set under the name that sacreBLEU has for it."""

    kind: Literal["sacrebleu"] = Field(description="a published test set by its name in sacreBLEU")
    test_set: str = Field(description="wmt19, multi30k/2016, ...: `sacrebleu --list` has them all")
    folder: Place | None = Field(
        None,
        description="a local folder laid out as sacreBLEU's cache; its own when absent: $SACREBLEU, or ~/.sacrebleu",
    )
    download: bool = Field(False, description="let sacreBLEU fetch what is not there; nothing is fetched otherwise")


Source = Annotated[
    CatalogSource
    | TextSource
    | TsvSource
    | JsonlSource
    | ParquetSource
    | ArrowSource
    | TmxSource
    | XliffSource
    | OpusSource
    | SacrebleuSource,
    Field(discriminator="kind"),
]


def is_parallel(source: Source) -> bool:
    """Whether the source may hold references."""
    match source:
        case CatalogSource():
            return not source.monolingual
        case TextSource():
            return source.target_file is not None
        case JsonlSource():
            return source.target_field is not None
        case TsvSource() | ParquetSource() | ArrowSource():
            return source.target_column is not None
    return True
