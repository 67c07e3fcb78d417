"""Several language pairs in one model, as a recipe says it: tags, sampling, and when a pair is distilled no more."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class LanguagesConfig(BaseModel):
    """How a model that is trained here learns several language pairs."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    tags: Literal["target", "both", "none"] = Field(
        "target",
        description="tokens before every source: <2de> for the target language, <from:en> <2de> for both, or none; "
        "they are rendered from the rows' languages and stand in no text",
    )
    sampling_temperature: float = Field(
        1.0,
        description="T: a pair gives batches in proportion to rows ** (1 / T); 1: as it has rows; larger ones give "
        "small pairs more",
        ge=1,
        le=1000,
    )


class StopConfig(BaseModel):
    """When a pair is distilled no more (https://arxiv.org/abs/1902.10461)."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    margin: float = Field(
        0.0,
        description="nats a token by which the student's cross-entropy on the pair's valid references must be below "
        "the teacher's",
        ge=0,
    )


class StudentLanguagesConfig(LanguagesConfig):
    """The same of a student, which has a teacher."""

    stop_distilling: StopConfig | None = Field(
        None,
        description="a pair in which the student is better than the teacher learns from its targets alone, without "
        "soft targets and online terms, until it falls behind again; judged at each validation. Targets must be "
        "references: select.metric = 'reference', or data = 'reference'",
    )
