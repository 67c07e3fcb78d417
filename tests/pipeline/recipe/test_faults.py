from typing import Annotated, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from pipeline.recipe.faults import did_you_mean, validation_faults


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class TextSource(Strict):
    kind: Literal["text"]
    source_file: str


class TableSource(Strict):
    kind: Literal["tsv"]
    column: int = Field(0, ge=0)


class Rule(Strict):
    high: float | None = Field(None, gt=0, le=1)
    low: float | None = None

    @model_validator(mode="after")
    def ordered(self) -> "Rule":
        if self.high and self.low and self.low > self.high:
            raise ValueError("low: above high")
        return self


class Section(Strict):
    beam_size: int = Field(5, ge=1, le=64)
    share: float = Field(0.5, gt=0, lt=1)
    method: Literal["score", "chrf", "mbr"] = "score"
    threads: int | Literal["auto"] = "auto"
    sources: list[Annotated[TextSource | TableSource, Field(discriminator="kind")]] = []
    rules: dict[str, Rule] = {}
    sizes: list[Annotated[int, Field(ge=1)]] = []
    tag: str = "en"
    n_best: int = 1

    @field_validator("tag")
    @classmethod
    def known(cls, tag: str) -> str:
        if tag not in {"en", "de"}:
            raise ValueError(f"{tag!r} is no language code; expected one such as en")
        return tag

    @model_validator(mode="after")
    def fits(self) -> "Section":
        if self.n_best > self.beam_size:
            raise ValueError("n_best is more than beam_size")
        if self.n_best < 0:
            raise ValueError("n_best: negative, which makes no sense")
        return self


def faults_of(**content: object) -> list[str]:
    with pytest.raises(ValidationError) as caught:
        Section.model_validate(content)
    return validation_faults(Section, caught.value, "decode")


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ({"beam_sise": 4}, "decode.beam_sise: unknown key; did you mean beam_size?"),
        ({"beam_size": 0}, "decode.beam_size: 0 is out of range; allowed: at least 1 and at most 64"),
        ({"share": 1.0}, "decode.share: 1.0 is out of range; allowed: more than 0 and less than 1"),
        ({"beam_size": "many"}, "decode.beam_size: expected a valid integer"),
        ({"beam_size": [1]}, "decode.beam_size: expected a valid integer; found a list"),
        ({"method": "chrff"}, "decode.method: 'chrff' is not one of score, chrf, mbr; did you mean chrf?"),
        ({"tag": "xx"}, "decode.tag: 'xx' is no language code; expected one such as en"),
        ({"n_best": 9}, "decode: n_best is more than beam_size"),
        ({"n_best": -1}, "decode.n_best: negative, which makes no sense"),
        ({"rules": {"length": {"low": 0.5, "high": 0.1}}}, "decode.rules.length.low: above high"),
        ({"sources": [{"kind": "text"}]}, "decode.sources[0].source_file: required, but not given"),
        ({"sources": [{"kind": "txt"}]}, "decode.sources[0]: 'txt' is not one of text, tsv; did you mean text?"),
        (
            {"sources": [{"kind": "text", "source_file": "a"}, {"kind": "tsv", "colum": 1}]},
            "decode.sources[1].colum: unknown key; did you mean column?",
        ),
        (
            {"sources": [{"kind": "tsv", "column": -1}]},
            "decode.sources[0].column: -1 is out of range; allowed: at least 0",
        ),
        (
            {"rules": {"length": {"high": 2.0}}},
            "decode.rules.length.high: 2.0 is out of range; allowed: more than 0 and at most 1",
        ),
        ({"rules": {"length": {"hihg": 1}}}, "decode.rules.length.hihg: unknown key; did you mean high?"),
        ({"threads": "all"}, "decode.threads: 'all' is not one of auto"),
    ],
)
def test_a_fault_names_its_key_what_was_found_and_what_is_allowed(content: dict[str, object], expected: str) -> None:
    assert any(line.startswith(expected) for line in faults_of(**content)), faults_of(**content)


def test_all_faults_are_told_at_once() -> None:
    assert len(faults_of(beam_sise=4, share=3, method="x", sources=[{"kind": "text"}])) == 4


def test_a_range_on_the_items_of_a_list_is_told_without_its_bounds_being_lost() -> None:
    (line,) = faults_of(sizes=[1, 0])
    assert line.startswith("decode.sizes[1]: 0 is out of range; allowed: at least 1")


def test_without_a_near_name_the_known_ones_are_listed() -> None:
    assert did_you_mean("zzz", ["decode", "score"]) == "; known: decode, score"
